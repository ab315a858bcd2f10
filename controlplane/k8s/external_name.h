// Services of type ExternalName, as far as several rooms must agree about them. The addresses
// behind such a Service come from DNS; whoever asks puts them into the store as an EndpointSlice of
// its own making, a derived object (ObjectKey::is_derived), one for each of these Services.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "controlplane/k8s/object.h"

namespace millrace::k8s {

constexpr char service_name_label[] = "kubernetes.io/service-name";  // discovery/v1
// On a derived slice: the name whose answers it is for.
constexpr char dns_name_annotation[] = "millrace.dev/dns-name";
// On a derived slice: why DNS was not answered the last time; none: it was, or is still asked.
constexpr char dns_failure_annotation[] = "millrace.dev/dns-failure";

constexpr size_t dns_label_bytes_max = 63;  // RFC 1035 2.3.4

bool is_external_name(const Service& service);  // by its type

// The name to ask DNS for, without a dot at its end. Nothing when spec.externalName is none: empty,
// no DNS name, or an IPv4 address.
std::optional<std::string> dns_name_of(std::string_view external_name);

// Of the slice that the answers for this Service lie in.
ObjectKey derived_slice_key(const std::string& name_space, const std::string& service);

}  // namespace millrace::k8s
