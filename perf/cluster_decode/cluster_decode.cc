// One list of Ingresses as an API server sends it, read from JSON and from protobuf: the median
// time of some runs, and what the objects take that are kept.
//
//   cluster_decode [objects] [runs]     10000 and 9 unless said otherwise
#include <malloc.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>
#include <vector>

#include <google/protobuf/util/json_util.h>

#include "controlplane/cluster/decode.h"

namespace millrace::cluster {
namespace {

// With what kubectl and an API server add to what a person writes, managedFields among it.
k8s::Ingress ingress_of(int number) {
  const std::string name = "shop-" + std::to_string(number);
  k8s::Ingress ingress;
  k8s::ObjectMeta* metadata = ingress.mutable_metadata();
  metadata->set_name(name);
  metadata->set_namespace_("team-" + std::to_string(number % 100));
  metadata->set_uid("6f1d5b0e-3c1a-4b8e-9d2f-" + std::to_string(100'000'000'000 + number));
  metadata->set_resource_version(std::to_string(5'000'000 + number));
  metadata->set_generation(1);
  metadata->mutable_creation_timestamp()->set_seconds(1'770'000'000 + number);
  (*metadata->mutable_labels())["app.kubernetes.io/name"] = name;
  (*metadata->mutable_labels())["app.kubernetes.io/managed-by"] = "Helm";
  (*metadata->mutable_annotations())["cert-manager.io/cluster-issuer"] = "letsencrypt";
  auto* manager = metadata->add_managed_fields();
  manager->set_manager("helm");
  manager->set_operation("Update");
  manager->mutable_time()->set_seconds(1'770'000'000);
  auto* spec = ingress.mutable_spec();
  spec->set_ingress_class_name("millrace");
  auto* tls = spec->add_tls();
  tls->add_hosts(name + ".example.com");
  tls->set_secret_name(name + "-tls");
  auto* rule = spec->add_rules();
  rule->set_host(name + ".example.com");
  for (const char* path : {"/", "/api"}) {
    auto* one = rule->mutable_value()->mutable_http()->add_paths();
    one->set_path(path);
    one->set_path_type("Prefix");
    one->mutable_backend()->mutable_service()->set_name(name);
    one->mutable_backend()->mutable_service()->mutable_port()->set_number(80);
  }
  ingress.mutable_status()->mutable_load_balancer()->add_ingress()->set_ip("192.0.2.7");
  return ingress;
}

std::string wire_list(int count) {
  ObjectList list;
  list.mutable_metadata()->set_resource_version("6000000");
  for (int i = 0; i < count; ++i) list.add_items(ingress_of(i).SerializeAsString());
  return encode_message("networking.k8s.io/v1", "IngressList", list);
}

std::string json_list(int count) {
  std::string text = R"({"kind":"IngressList","metadata":{"resourceVersion":"6000000"},"items":[)";
  for (int i = 0; i < count; ++i) {
    k8s::Ingress ingress = ingress_of(i);
    for (k8s::IngressRule& rule : *ingress.mutable_spec()->mutable_rules()) {
      *rule.mutable_http_in_json() = rule.value().http();  // where JSON has it
      rule.clear_value();
    }
    std::string item;
    CHECK(google::protobuf::util::MessageToJsonString(ingress, &item).ok());
    text += (i == 0 ? "" : ",") + item;
  }
  return text + "]}";
}

void measure(const char* name, Encoding encoding, const std::string& body, size_t count, int runs) {
  std::vector<double> times_ms;
  double bytes_each = 0;
  for (int run = 0; run < runs; ++run) {
    const size_t before = mallinfo2().uordblks;
    const std::clock_t began = std::clock();
    auto list = decode_list(k8s::Kind::ingress, encoding, body);
    times_ms.push_back(static_cast<double>(std::clock() - began) * 1'000 / CLOCKS_PER_SEC);
    CHECK(list.ok() && list->objects.size() == count && list->problems.empty());
    bytes_each = static_cast<double>(mallinfo2().uordblks - before) / static_cast<double>(count);
  }
  std::sort(times_ms.begin(), times_ms.end());
  std::printf("%-9s %6.1f MB  median %7.1f ms  (%.1f to %.1f)  %5.0f bytes kept an object\n", name,
              static_cast<double>(body.size()) / 1e6, times_ms[times_ms.size() / 2],
              times_ms.front(), times_ms.back(), bytes_each);
}

}  // namespace
}  // namespace millrace::cluster

int main(int argc, char** argv) {
  using namespace millrace::cluster;
  const int count = argc > 1 ? std::atoi(argv[1]) : 10'000;
  const int runs = argc > 2 ? std::atoi(argv[2]) : 9;
  if (count < 1 || runs < 1) {
    std::fprintf(stderr, "cluster_decode [objects] [runs]\n");
    return 2;
  }
  measure("json", Encoding::json, json_list(count), static_cast<size_t>(count), runs);
  measure("protobuf", Encoding::protobuf, wire_list(count), static_cast<size_t>(count), runs);
  return 0;
}
