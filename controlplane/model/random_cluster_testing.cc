#include "controlplane/model/random_cluster_testing.h"

#include <memory>
#include <sstream>
#include <utility>

namespace millrace::model::testing {

using k8s::Kind;

std::string RandomCluster::pick(const char* texts) {
  std::istringstream stream(texts);
  std::vector<std::string> list;
  for (std::string text; stream >> text;) list.push_back(text);
  return list[random_.below(list.size())];
}

void RandomCluster::step(store::Store* store) {
  for (uint64_t i = random_.between(1, 4); i > 0; --i) change_one(store);
}

std::vector<k8s::Object> RandomCluster::shuffled(const store::Store& store) {
  std::vector<k8s::Object> objects;
  for (const auto& [key, object] : store.objects()) objects.push_back(object);
  for (size_t i = objects.size(); i > 1; --i) std::swap(objects[i - 1], objects[random_.below(i)]);
  return objects;
}

void RandomCluster::change_one(store::Store* store) {
  k8s::ObjectKey key;
  const uint64_t kind = random_.below(20);
  key.kind = kind == 0   ? Kind::ingress_class
             : kind == 1 ? Kind::name_space
             : kind < 5  ? Kind::service
             : kind < 10 ? Kind::endpoint_slice
                         : Kind::ingress;
  if (key.kind == Kind::name_space) {
    key.name = pick("a b c");
  } else if (key.kind == Kind::ingress_class) {
    key.name = pick("millrace other third");
  } else {
    key.name_space = pick("a b c");
    key.name = key.kind == Kind::ingress ? pick("i1 i2 i3 i4 i5 i6") : pick("s1 s2 s3");
  }
  if (random_.below(4) == 0) {
    store->remove(key);
  } else {
    k8s::AnyObject body = body_of(key);
    store->put(object(key, std::move(body)));
  }
}

k8s::AnyObject RandomCluster::body_of(const k8s::ObjectKey& key) {
  switch (key.kind) {
    case Kind::ingress: return ingress();
    case Kind::ingress_class: return ingress_class();
    case Kind::service: return service();
    case Kind::endpoint_slice: return slice();
    default: break;
  }
  k8s::Namespace name_space;
  if (random_.below(2) == 0) {
    (*name_space.mutable_metadata()->mutable_labels())["team"] = pick("red blue");
  }
  return name_space;
}

k8s::Object RandomCluster::object(k8s::ObjectKey key, k8s::AnyObject body) {
  std::visit(
      [&](auto& one) {
        one.mutable_metadata()->set_name(key.name);
        if (!key.name_space.empty()) one.mutable_metadata()->set_namespace_(key.name_space);
        if (random_.below(3) != 0) {
          one.mutable_metadata()->mutable_creation_timestamp()->set_seconds(
              static_cast<int64_t>(random_.below(4)));
        }
      },
      body);
  // The place depends on the key alone: a new line is no change of content.
  return {key, {key.name_space + key.name + ".yaml", 7}, k8s::Body(std::move(body))};
}

k8s::Ingress RandomCluster::ingress() {
  k8s::Ingress made;
  k8s::IngressSpec* spec = made.mutable_spec();
  if (random_.below(3) == 0) {
    spec->set_ingress_class_name(pick("millrace millrace millrace other third nobody"));
  }
  if (random_.below(3) == 0) annotate(&made);
  if (random_.below(4) == 0) fill(spec->mutable_default_backend());
  for (uint64_t i = random_.below(4); i > 0; --i) {
    k8s::IngressRule* rule = spec->add_rules();
    if (random_.below(8) != 0) {
      rule->set_host(
          pick("x.example x.example y.example Y.example *.example z.example *.z 1.2.3.4"));
    }
    for (uint64_t paths = random_.below(4); paths > 0; --paths) {
      k8s::HTTPIngressPath* path = rule->mutable_value()->mutable_http()->add_paths();
      path->set_path(pick("/ /a /a/ /a/b /b /b/../c c"));
      path->set_path_type(pick("Prefix Prefix Exact ImplementationSpecific prefix"));
      fill(path->mutable_backend());
    }
  }
  for (uint64_t i = random_.below(3); i > 0; --i) {
    k8s::IngressTLS* tls = spec->add_tls();
    tls->set_secret_name(pick("t1 t2 t3"));
    tls->add_hosts("x.example");
  }
  return made;
}

void RandomCluster::annotate(k8s::Ingress* ingress) {
  auto& annotations = *ingress->mutable_metadata()->mutable_annotations();
  switch (random_.below(4)) {
    case 0: annotations["millrace.dev/balance"] = pick("round-robin least-requests odd"); break;
    case 1: annotations["millrace.dev/hash-by"] = "header:" + pick("a b c d"); break;
    case 2: annotations["nginx.ingress.kubernetes.io/server-snippet"] = "return 200;"; break;
    case 3: annotations["kubernetes.io/ingress.class"] = pick("millrace other third"); break;
  }
}

void RandomCluster::fill(k8s::IngressBackend* backend) {
  if (random_.below(12) == 0) {
    backend->mutable_resource()->set_kind("Bucket");
    return;
  }
  backend->mutable_service()->set_name(pick("s1 s2 s3 s4"));
  k8s::ServiceBackendPort* port = backend->mutable_service()->mutable_port();
  if (random_.below(2) == 0) {
    port->set_name(pick("http grpc"));
  } else {
    port->set_number(80);
  }
}

k8s::IngressClass RandomCluster::ingress_class() {
  k8s::IngressClass made;
  made.mutable_spec()->set_controller(pick("millrace.dev/ingress-controller other.dev/c"));
  if (random_.below(3) == 0) {
    (*made.mutable_metadata()
          ->mutable_annotations())["ingressclass.kubernetes.io/is-default-class"] = "true";
  }
  return made;
}

k8s::Service RandomCluster::service() {
  k8s::Service made;
  if (random_.below(10) == 0) made.mutable_spec()->set_type("ExternalName");
  for (const char* name : {"http", "grpc"}) {
    if (random_.below(4) == 0) continue;
    k8s::ServicePort* port = made.mutable_spec()->add_ports();
    port->set_name(name);
    port->set_port(random_.below(3) == 0 ? 81 : 80);
    if (random_.below(8) == 0) port->set_protocol("UDP");
  }
  return made;
}

k8s::EndpointSlice RandomCluster::slice() {
  k8s::EndpointSlice made;
  if (random_.below(10) != 0) {
    (*made.mutable_metadata()->mutable_labels())["kubernetes.io/service-name"] = pick("s1 s2 s3");
  }
  made.set_address_type(pick("IPv4 IPv4 IPv4 IPv4 IPv6 IPv9"));
  for (const char* name : {"http", "grpc"}) {
    k8s::EndpointPort* port = made.add_ports();
    port->set_name(name);
    if (random_.below(10) != 0) port->set_port(8080);
  }
  for (uint64_t i = random_.below(4); i > 0; --i) {
    k8s::Endpoint* endpoint = made.add_endpoints();
    endpoint->add_addresses(pick("10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.4 127.0.0.1 fe80::1"));
    if (random_.below(3) == 0) endpoint->mutable_conditions()->set_ready(false);
    if (random_.below(3) == 0) endpoint->mutable_conditions()->set_terminating(true);
  }
  return made;
}

}  // namespace millrace::model::testing
