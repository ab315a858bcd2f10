#include "controlplane/model/object_fetch.h"

#include <algorithm>

namespace millrace::model {

namespace {

// What lies behind is asked for by the loop that reads it.
constexpr int pieces_max = 8;

template <class Pieces, class Fetch>
void for_first(const Pieces& pieces, Fetch fetch_piece) {
  const int count = std::min(pieces.size(), pieces_max);
  for (int i = 0; i < count; ++i) fetch_piece(pieces[i]);
}

void fetch_path(const k8s::HTTPIngressPath& path, size_t step) {
  switch (step) {
    case 0: fetch(&path); break;
    case 1:
      fetch(&path.path());
      fetch(&path.path_type());
      fetch(&path.backend());
      break;
    case 2: fetch(&path.backend().service()); break;
    case 3:
      fetch(&path.backend().service().name());
      fetch(&path.backend().service().port());
      break;
    case 4: fetch(&path.backend().service().port().name()); break;
    default: break;
  }
}

void fetch_rule(const k8s::IngressRule& rule, size_t step) {
  switch (step) {
    case 0: fetch(&rule); break;
    case 1:
      fetch(&rule.host());
      fetch(&rule.value());
      break;
    case 2: fetch(&rule.value().http()); break;
    case 3: fetch(rule.value().http().paths().data()); break;
    default:
      for_first(rule.value().http().paths(),
                [&](const k8s::HTTPIngressPath& path) { fetch_path(path, step - 4); });
      break;
  }
}

void fetch_slice(const k8s::EndpointSlice& slice, size_t step) {
  switch (step) {
    case 1:
      fetch(&slice.address_type());
      fetch(slice.ports().data());
      fetch(slice.endpoints().data());
      break;
    case 2:
      if (!slice.ports().empty()) fetch(&slice.ports(0));
      for_first(slice.endpoints(), [](const k8s::Endpoint& one) { fetch(&one); });
      break;
    case 3:
      if (!slice.ports().empty()) fetch(&slice.ports(0).name());
      for_first(slice.endpoints(), [](const k8s::Endpoint& one) {
        fetch(one.addresses().data());
        fetch(&one.conditions());
      });
      break;
    case 4:
      for_first(slice.endpoints(), [](const k8s::Endpoint& one) {
        if (!one.addresses().empty()) fetch(&one.addresses(0));
      });
      break;
    default: break;
  }
}

void fetch_service(const k8s::ServiceSpec& spec, size_t step) {
  switch (step) {
    case 1: fetch(&spec); break;
    case 2: fetch(spec.ports().data()); break;
    case 3:
      if (!spec.ports().empty()) fetch(&spec.ports(0));
      break;
    case 4:
      if (!spec.ports().empty()) fetch(&spec.ports(0).name());
      break;
    default: break;
  }
}

}  // namespace

void fetch_ingress(const k8s::Object& object, size_t step) {
  if (step == 0) return fetch(&object, sizeof object);
  if (step == 1) return fetch(object.body.get(), sizeof(k8s::Ingress));
  const auto* const ingress = std::get_if<k8s::Ingress>(object.body.get());
  if (ingress == nullptr) return;
  switch (step) {
    case 2:
      fetch(&ingress->metadata(), sizeof(k8s::ObjectMeta));
      fetch(&ingress->spec(), sizeof(k8s::IngressSpec));
      break;
    case 3:
      fetch(&ingress->metadata().creation_timestamp());
      fetch(ingress->spec().rules().data());
      break;
    default:
      if (ingress->spec().rules_size() > 0) fetch_rule(ingress->spec().rules(0), step - 4);
      break;
  }
}

void fetch_body(const k8s::AnyObject* body, size_t step) {
  if (body == nullptr) return;
  if (step == 0) return fetch(body, sizeof *body);
  if (const auto* const slice = std::get_if<k8s::EndpointSlice>(body)) fetch_slice(*slice, step);
  if (const auto* const service = std::get_if<k8s::Service>(body)) {
    fetch_service(service->spec(), step);
  }
}

}  // namespace millrace::model
