#include "controlplane/model/host.h"

#include "base/address.h"
#include "controlplane/k8s/object.h"
#include "controlplane/model/limits.h"

namespace millrace::model {

Result<std::string> parse_host(std::string_view text) {
  std::string host(text);
  for (char& c : host) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  if (host.empty()) return host;
  if (host.size() > host_bytes_max) {
    return Error{"is longer than " + std::to_string(host_bytes_max) + " bytes"};
  }
  std::string_view name = host;
  if (name.starts_with("*.")) name.remove_prefix(2);
  const bool is_address = Ipv4Address::parse(host).has_value();
  // What most hosts are. All that follows is about which sentence fits.
  if (!is_address && k8s::is_dns_subdomain(name)) return host;
  if (is_address || host.find_first_of("[]") != std::string::npos) {
    return Error{"is an IP address; only names are allowed"};
  }
  if (host.find(':') != std::string::npos) {
    return Error{"has a port or is an IP address; only names are allowed"};
  }
  if (host == "*") return Error{"is a wildcard by itself; leave the host out to match all hosts"};
  if (name.find('*') != std::string_view::npos) {
    return Error{"has a wildcard that is not the whole first label"};
  }
  return Error{"is not a DNS name"};
}

}  // namespace millrace::model
