#include "dataplane/config.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <initializer_list>
#include <set>
#include <sstream>
#include <string_view>
#include <type_traits>

#include "dataplane/http/field_semantics.h"
#include "dataplane/packet/frame.h"

namespace millrace {
namespace {

constexpr size_t config_bytes_max = size_t{1} << 20;
constexpr uint64_t connections_min = 64;
constexpr uint64_t connections_max = 4'000'000;
constexpr uint64_t packet_memory_mib_min = 16;
constexpr uint64_t packet_memory_mib_max = 65'536;
constexpr uint64_t queue_max = 63;  // the XDP program's map of sockets
constexpr size_t addresses_per_port_max = 16;
constexpr size_t addresses_max = 64;  // over all ports, as net's steering holds them
constexpr size_t borrowed_tcp_ports_max = 1'024;
constexpr size_t routes_max = 32;
constexpr size_t listeners_max = 64;
constexpr uint64_t memif_ring_frames_min = 64;
constexpr uint64_t memif_ring_frames_max = 16'384;
constexpr size_t memif_socket_bytes_max = 80;
constexpr uint64_t dpdk_mtu_min = 576;    // RFC 1122 section 3.3.2
constexpr uint64_t dpdk_mtu_max = 1'906;  // nic/dpdk_port.h: with its header it fits in one slot
constexpr uint64_t dpdk_memory_mib_max = 65'536;
constexpr size_t upgrades_max = 16;
constexpr uint64_t timeout_seconds_max = 604'800;  // a week
constexpr uint64_t request_body_rate_max = 1'000'000;
constexpr uint64_t traffic_rows_max = 65'000;
constexpr uint64_t requests_per_client_max = 1'000'000;
constexpr size_t trusted_proxies_max = 64;
constexpr uint64_t ejection_failures_max = 1'000;
constexpr uint64_t ejection_seconds_max = 300;
constexpr uint64_t access_ring_kib_min = 64;
// Fewer than 50 requests are no share; who is asked less is judged together with others.
constexpr uint64_t guard_requests_min = 50;
constexpr uint64_t guard_requests_max = 1'000'000;
constexpr uint64_t guard_seconds_max = 86'400;
constexpr uint64_t access_ring_kib_max = 262'144;
constexpr size_t interface_name_bytes_max = 15;  // IFNAMSIZ without its zero

// Thrown and caught inside this file only: yaml-cpp reports by exceptions, and a nest of readers
// reads better with one way out.
struct Mistake {
  YAML::Mark mark;
  std::string what;
};

[[noreturn]] void fail(const YAML::Node& node, const std::string& what) {
  throw Mistake{node.Mark(), what};
}

// Every key of a map must be one of these.
void expect_keys(const YAML::Node& map, const std::string& where,
                 std::initializer_list<std::string_view> known) {
  if (!map.IsMap()) fail(map, where + " must be a map");
  std::set<std::string> seen;
  for (const auto& entry : map) {
    const auto key = entry.first.as<std::string>();
    if (std::find(known.begin(), known.end(), key) == known.end()) {
      fail(entry.first, where + " has no key \"" + key + "\"");
    }
    if (!seen.insert(key).second) fail(entry.first, where + " has \"" + key + "\" twice");
  }
}

YAML::Node require(const YAML::Node& map, const char* key, const std::string& where) {
  const YAML::Node node = map[key];
  if (!node) fail(map, where + " needs \"" + key + "\"");
  return node;
}

std::string read_text(const YAML::Node& node, const std::string& where) {
  if (!node.IsScalar() || node.Scalar().empty()) fail(node, where + " must be a non-empty text");
  return node.Scalar();
}

uint64_t read_number(const YAML::Node& node, const std::string& where, uint64_t least,
                     uint64_t most) {
  const auto value = node.IsScalar() ? parse_decimal(node.Scalar(), most) : std::nullopt;
  if (!value || *value < least) {
    fail(node,
         where + " must be a number from " + std::to_string(least) + " to " + std::to_string(most));
  }
  return *value;
}

void each(const YAML::Node& node, const std::string& where, size_t most, const auto& read) {
  if (!node.IsSequence()) fail(node, where + " must be a list");
  if (node.size() > most) fail(node, where + " has more than " + std::to_string(most) + " entries");
  for (const auto& entry : node) read(entry);
}

template <class Value>
Value read_choice(const YAML::Node& node, const std::string& where,
                  std::initializer_list<std::pair<const char*, Value>> choices) {
  std::string expected;
  for (const auto& choice : choices) {
    if (node.IsScalar() && node.Scalar() == choice.first) return choice.second;
    expected += (expected.empty() ? "" : ", ") + std::string(choice.first);
  }
  fail(node, where + " must be one of " + expected);
}

// Only IPv6 addresses have colons, and all of them have.
bool is_ipv6_text(const std::string& text) {
  return text.find(':') != std::string::npos;
}

Ipv6Prefix read_ipv6_prefix(const YAML::Node& text, const std::string& where) {
  const auto prefix = Ipv6Prefix::parse(text.Scalar());
  if (!prefix || !prefix->address.is_unicast())
    fail(text, where + " must be a unicast address with its prefix, like 2001:db8::5/64");
  return *prefix;
}

Ipv4Prefix read_ipv4_prefix(const YAML::Node& text, const std::string& where) {
  const auto prefix = Ipv4Prefix::parse(text.Scalar());
  if (!prefix || !prefix->address.is_unicast())
    fail(text, where + " must be a unicast address with its prefix, like 10.0.0.5/24");
  const uint32_t host = prefix->address.host_order() & ~prefix->mask();
  const bool names_the_network = prefix->length <= 30 && (host == 0 || host == ~prefix->mask());
  if (prefix->address.is_loopback() || names_the_network) {
    fail(text, where + ": " + prefix->text() + " is no host's address");
  }
  return *prefix;
}

AddressConfig read_address(const YAML::Node& node, const std::string& port) {
  const std::string where = "an address of port " + port;
  expect_keys(node, where, {"address", "kind", "tcp_ports"});
  AddressConfig address;
  const YAML::Node text = require(node, "address", where);
  if (is_ipv6_text(read_text(text, where))) {
    address.ipv6 = read_ipv6_prefix(text, where);
  } else {
    address.prefix = read_ipv4_prefix(text, where);
  }
  address.borrowed = read_choice<bool>(require(node, "kind", where), where + ": kind",
                                       {{"owned", false}, {"borrowed", true}});
  if (node["tcp_ports"]) {
    if (!address.borrowed)
      fail(node["tcp_ports"],
           where + ": tcp_ports belongs to borrowed addresses; an owned one is ours whole");
    each(node["tcp_ports"], where + ": tcp_ports", 64, [&](const YAML::Node& entry) {
      address.tcp_ports.push_back(
          static_cast<uint16_t>(read_number(entry, where + ": a TCP port", 1, 65'535)));
    });
  }
  if (address.borrowed && address.tcp_ports.empty())
    fail(node, where + " is borrowed and names no tcp_ports");
  return address;
}

bool read_flag(const YAML::Node& node, const std::string& where) {
  return read_choice<bool>(node, where, {{"true", true}, {"false", false}});
}

std::string read_memif_socket(const YAML::Node& node, const std::string& where) {
  std::string path = read_text(node, where);
  if (path.front() != '/' || path.size() > memif_socket_bytes_max ||
      path.find(',') != std::string::npos) {
    fail(node, where + " must be an absolute path of at most 80 characters without a comma");
  }
  return path;
}

std::string read_pci_address(const YAML::Node& node, const std::string& where) {
  std::string address = read_text(node, where);
  constexpr std::string_view form = "xxxx:xx:xx.x";
  bool good = address.size() == form.size();
  for (size_t i = 0; good && i < form.size(); ++i) {
    const char c = address[i];
    good = form[i] == 'x' ? (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') : c == form[i];
  }
  if (!good) fail(node, where + " must look like 0000:03:00.0");
  return address;
}

void read_memif(const YAML::Node& node, const std::string& where, DpdkPortConfig& memif) {
  expect_keys(node, where, {"kind", "socket", "role", "id", "ring_frames", "mac", "mtu"});
  memif.socket = read_memif_socket(require(node, "socket", where), where + ": socket");
  memif.role = read_choice<DpdkRole>(require(node, "role", where), where + ": role",
                                     {{"server", DpdkRole::server}, {"client", DpdkRole::client}});
  if (node["id"])
    memif.id = static_cast<uint32_t>(read_number(node["id"], where + ": id", 0, UINT32_MAX));
  if (!node["ring_frames"]) return;
  const uint64_t frames = read_number(node["ring_frames"], where + ": ring_frames",
                                      memif_ring_frames_min, memif_ring_frames_max);
  if ((frames & (frames - 1)) != 0)
    fail(node["ring_frames"], where + ": ring_frames must be a power of two");
  memif.ring_frames = static_cast<uint32_t>(frames);
}

DpdkPortConfig read_dpdk_port(const YAML::Node& node, const std::string& port) {
  const std::string where = port + ": dpdk";
  if (!node.IsMap()) fail(node, where + " must be a map");
  DpdkPortConfig dpdk;
  dpdk.kind = read_choice<DpdkKind>(
      require(node, "kind", where), where + ": kind",
      {{"memif", DpdkKind::memif}, {"pci", DpdkKind::pci}, {"vdev", DpdkKind::vdev}});
  if (dpdk.kind == DpdkKind::memif) {
    read_memif(node, where, dpdk);
  } else {
    expect_keys(node, where, {"kind", "device", "mac", "mtu"});
    const YAML::Node device = require(node, "device", where);
    dpdk.device = dpdk.kind == DpdkKind::pci ? read_pci_address(device, where + ": device")
                                             : read_text(device, where + ": device");
  }
  if (node["mac"]) {
    dpdk.mac = parse_mac(read_text(node["mac"], where + ": mac"));
    if (!dpdk.mac || dpdk.mac->is_multicast() || dpdk.mac->is_zero())
      fail(node["mac"], where + ": mac must be one station's address, like 02:00:00:00:00:01");
  }
  if (node["mtu"]) {
    dpdk.mtu = static_cast<uint16_t>(
        read_number(node["mtu"], where + ": mtu", dpdk_mtu_min, dpdk_mtu_max));
  }
  return dpdk;
}

void read_xdp_port(const YAML::Node& node, const std::string& where, PortConfig& port) {
  const YAML::Node interface = require(node, "interface", where);
  port.interface = read_text(interface, where + ": interface");
  if (port.interface.size() > interface_name_bytes_max)
    fail(interface, where + ": interface names have at most 15 characters");
  for (const char c : port.interface) {
    if (c <= ' ' || c > '~' || c == '/')
      fail(interface, where + ": interface has a character that no name has");
  }
  if (node["queue"])
    port.queue = static_cast<uint32_t>(read_number(node["queue"], where + ": queue", 0, queue_max));
  if (node["mode"]) {
    port.mode = read_choice<XdpMode>(
        node["mode"], where + ": mode",
        {{"auto", XdpMode::automatic}, {"native", XdpMode::native}, {"generic", XdpMode::generic}});
  }
  if (node["on_silence"]) {
    port.on_silence =
        read_choice<OnSilence>(node["on_silence"], where + ": on_silence",
                               {{"drop", OnSilence::drop}, {"pass", OnSilence::pass}});
  }
}

// Keys of the other driver are a mistake that says so.
void refuse_keys(const YAML::Node& node, const std::string& where, const char* driver,
                 std::initializer_list<const char*> keys) {
  for (const char* key : keys) {
    if (node[key]) fail(node[key], where + " has driver " + driver + " and so no \"" + key + "\"");
  }
}

PortConfig read_port(const YAML::Node& node) {
  expect_keys(node, "a port",
              {"name", "driver", "interface", "queue", "mode", "checksum", "on_silence", "dpdk",
               "addresses", "capture"});
  PortConfig port;
  port.name = read_text(require(node, "name", "a port"), "a port's name");
  const std::string where = "port " + port.name;
  const bool is_dpdk = node["driver"] && read_choice<bool>(node["driver"], where + ": driver",
                                                           {{"xdp", false}, {"dpdk", true}});
  if (is_dpdk) {
    refuse_keys(node, where, "dpdk", {"interface", "queue", "mode", "on_silence"});
    port.dpdk = read_dpdk_port(require(node, "dpdk", where), where);
  } else {
    refuse_keys(node, where, "xdp", {"dpdk"});
    read_xdp_port(node, where, port);
  }
  if (node["checksum"]) {
    using packet::ChecksumMode;
    port.checksum =
        read_choice<ChecksumMode>(node["checksum"], where + ": checksum",
                                  {{"verify", ChecksumMode::verify},
                                   {"verify_or_partial", ChecksumMode::verify_or_partial},
                                   {"trust", ChecksumMode::trust}});
  }
  if (node["capture"]) port.capture = read_text(node["capture"], where + ": capture");
  each(require(node, "addresses", where), where + ": addresses", addresses_per_port_max,
       [&](const YAML::Node& entry) { port.addresses.push_back(read_address(entry, port.name)); });
  if (port.addresses.empty()) fail(node, where + " has no address");
  for (const AddressConfig& address : port.addresses) {
    if (is_dpdk && address.borrowed)
      fail(node["addresses"],
           where + " has driver dpdk: no kernel stands behind it to lend an address");
  }
  return port;
}

RouteConfig read_ipv4_route(const YAML::Node& node, const YAML::Node& destination) {
  RouteConfig route;
  const auto prefix = Ipv4Prefix::parse(destination.Scalar());
  if (!prefix) fail(destination, "a route's destination must look like 10.244.0.0/16");
  route.destination = *prefix;
  route.port = read_text(require(node, "port", "a route"), "a route's port");
  if (node["via"]) {
    route.via = Ipv4Address::parse(read_text(node["via"], "a route's via"));
    if (!route.via || !route.via->is_unicast())
      fail(node["via"], "a route's via must be a unicast address");
  }
  return route;
}

Ipv6RouteConfig read_ipv6_route(const YAML::Node& node, const YAML::Node& destination) {
  Ipv6RouteConfig route;
  const auto prefix = Ipv6Prefix::parse(destination.Scalar());
  if (!prefix) fail(destination, "a route's destination must look like 2001:db8:1::/48");
  if (prefix->address.is_link_local())
    fail(destination, "a route's destination is link-local: it has no way but its own link");
  route.destination = *prefix;
  route.port = read_text(require(node, "port", "a route"), "a route's port");
  if (node["via"]) {
    route.via = Ipv6Address::parse(read_text(node["via"], "a route's via"));
    if (!route.via || !route.via->is_unicast())
      fail(node["via"], "a route's via must be a unicast address of the destination's family");
  }
  return route;
}

void read_route(const YAML::Node& node, Config& config) {
  expect_keys(node, "a route", {"destination", "port", "via"});
  const YAML::Node destination = require(node, "destination", "a route");
  if (is_ipv6_text(read_text(destination, "a route's destination"))) {
    config.ipv6_routes.push_back(read_ipv6_route(node, destination));
  } else {
    config.routes.push_back(read_ipv4_route(node, destination));
  }
}

void read_listener(const YAML::Node& node, Config& config) {
  expect_keys(node, "a listener", {"address", "port", "proxy_protocol"});
  const YAML::Node node_of_address = require(node, "address", "a listener");
  const std::string text = read_text(node_of_address, "a listener's address");
  const auto port = static_cast<uint16_t>(
      read_number(require(node, "port", "a listener"), "a listener's port", 1, 65'535));
  std::string canonical;
  if (const auto ipv6 = Ipv6Address::parse(text)) {
    config.ipv6_listeners.push_back({*ipv6, port});
    canonical = ipv6->text();
  } else if (const auto ipv4 = Ipv4Address::parse(text)) {
    config.listeners.push_back({*ipv4, port});
    canonical = ipv4->text();
  } else {
    fail(node_of_address, "a listener's address must be an IPv4 or IPv6 address");
  }
  if (node["proxy_protocol"] && read_flag(node["proxy_protocol"], "a listener's proxy_protocol"))
    config.proxy_protocol_listeners.push_back({canonical, port});
}

// What only one port can have.
std::string place_of(const PortConfig& port) {
  if (!port.dpdk) return "interface " + port.interface;
  if (port.dpdk->kind != DpdkKind::memif) return "device " + port.dpdk->device;
  const std::string socket = "memif socket " + port.dpdk->socket;
  return port.dpdk->role == DpdkRole::server ? socket
                                             : socket + " id " + std::to_string(port.dpdk->id);
}

bool is_same_destination(const Ipv4Prefix& one, const Ipv4Prefix& other) {
  return one.length == other.length && one.contains(other.address);
}
bool is_same_destination(const Ipv6Prefix& one, const Ipv6Prefix& other) {
  return one.length == other.length && one.contains(other.address);
}

// An owned address of the route's family, to send from.
bool can_send(const PortConfig& port, bool ipv6) {
  return std::any_of(port.addresses.begin(), port.addresses.end(),
                     [&](const AddressConfig& address) {
                       return !address.borrowed && address.ipv6.has_value() == ipv6;
                     });
}

template <class Route>
void check_routes(const Config& config, const YAML::Node& root, const std::vector<Route>& routes,
                  const std::set<std::string>& port_names) {
  constexpr bool ipv6 = std::is_same_v<Route, Ipv6RouteConfig>;
  for (size_t i = 0; i < routes.size(); ++i) {
    const Route& route = routes[i];
    const std::string text = route.destination.text();
    for (size_t before = 0; before < i; ++before) {
      if (is_same_destination(routes[before].destination, route.destination))
        fail(root, "two routes lead to " + text);
    }
    if (port_names.count(route.port) == 0)
      fail(root, "route " + text + " names port \"" + route.port + "\", which is not configured");
    for (const PortConfig& port : config.ports) {
      if (port.name == route.port && !can_send(port, ipv6)) {
        fail(root, "route " + text + " leads to port " + port.name + ", which has no owned " +
                       (ipv6 ? "IPv6 " : "") + "address to send from");
      }
    }
  }
}

template <class Listener>
void check_listener(const Config& config, const YAML::Node& root, const Listener& listener,
                    const auto& is_its_address) {
  for (const PortConfig& port : config.ports) {
    for (const AddressConfig& address : port.addresses) {
      if (!is_its_address(address)) continue;
      const auto& ports = address.tcp_ports;
      if (!address.borrowed ||
          std::find(ports.begin(), ports.end(), listener.port) != ports.end()) {
        return;
      }
    }
  }
  fail(root, "listener " + listener.text() +
                 " is on no owned address and on no borrowed address and port");
}

// What no single line can get wrong alone.
void check_references(const Config& config, const YAML::Node& root) {
  std::set<std::string> names;
  std::set<std::string> places;
  std::set<std::string> addresses;
  for (const PortConfig& port : config.ports) {
    if (!names.insert(port.name).second) fail(root, "two ports are called " + port.name);
    const std::string what = place_of(port);
    if (!places.insert(what).second) fail(root, "two ports use " + what);
    for (const AddressConfig& address : port.addresses) {
      const std::string text =
          address.ipv6 ? address.ipv6->address.text() : address.prefix.address.text();
      // A link-local address is another host's on each link (RFC 4007 section 6).
      const bool of_link = address.ipv6 && address.ipv6->address.is_link_local();
      if (!addresses.insert(of_link ? text + "%" + port.name : text).second)
        fail(root, "address " + text + " is given twice");
    }
  }
  size_t borrowed_tcp_ports = 0;
  for (const PortConfig& port : config.ports) {
    for (const AddressConfig& address : port.addresses)
      borrowed_tcp_ports += address.tcp_ports.size();
  }
  if (addresses.size() > addresses_max) fail(root, "there are more than 64 addresses");
  if (borrowed_tcp_ports > borrowed_tcp_ports_max)
    fail(root, "there are more than 1024 borrowed TCP ports");
  check_routes(config, root, config.routes, names);
  check_routes(config, root, config.ipv6_routes, names);
  for (const SocketAddress& listener : config.listeners) {
    check_listener(config, root, listener, [&](const AddressConfig& address) {
      return !address.ipv6 && address.prefix.address == listener.address;
    });
  }
  for (const Ipv6SocketAddress& listener : config.ipv6_listeners) {
    check_listener(config, root, listener, [&](const AddressConfig& address) {
      return address.ipv6 && address.ipv6->address == listener.address;
    });
  }
}

// HTTP or TLS in a tunnel would hide requests from the routes.
std::string read_upgrade(const YAML::Node& node) {
  std::string protocol = read_text(node, "an upgrade");
  if (!http::is_short_protocol(protocol))
    fail(node, "an upgrade must be a protocol's name of at most " +
                   std::to_string(http::upgrade_bytes_max) + " characters, like websocket");
  if (http::is_http_or_tls(protocol))
    fail(node, "an upgrade cannot be " + protocol + ": requests in it would pass the routes by");
  for (char& c : protocol) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
  return protocol;
}

// None of them but the drain can be turned off: what waits without an end is held against everybody
// else.
TimeoutsConfig read_timeouts(const YAML::Node& node) {
  TimeoutsConfig timeouts;
  const std::pair<const char*, std::optional<uint32_t>*> keys[] = {
      {"request_head_seconds", &timeouts.request_head_seconds},
      {"client_idle_seconds", &timeouts.client_idle_seconds},
      {"body_stall_seconds", &timeouts.body_stall_seconds},
      {"connect_seconds", &timeouts.connect_seconds},
      {"first_octet_seconds", &timeouts.first_octet_seconds},
      {"linger_seconds", &timeouts.linger_seconds},
      {"tunnel_idle_seconds", &timeouts.tunnel_idle_seconds},
      {"tunnel_half_closed_seconds", &timeouts.tunnel_half_closed_seconds},
  };
  expect_keys(node, "timeouts",
              {"request_head_seconds", "client_idle_seconds", "body_stall_seconds",
               "connect_seconds", "first_octet_seconds", "linger_seconds", "tunnel_idle_seconds",
               "tunnel_half_closed_seconds", "drain_seconds"});
  for (const auto& [key, value] : keys) {
    if (!node[key]) continue;
    *value = static_cast<uint32_t>(
        read_number(node[key], std::string("timeouts: ") + key, 1, timeout_seconds_max));
  }
  if (node["drain_seconds"]) {
    timeouts.drain_seconds = static_cast<uint32_t>(
        read_number(node["drain_seconds"], "timeouts: drain_seconds", 0, timeout_seconds_max));
  }
  return timeouts;
}

UpstreamConfig read_upstream(const YAML::Node& node) {
  expect_keys(node, "upstream",
              {"balance", "requests_per_endpoint", "ejection_failures", "ejection_seconds"});
  UpstreamConfig upstream;
  if (node["balance"]) {
    upstream.balance = read_choice<Balance>(
        node["balance"], "upstream: balance",
        {{"round_robin", Balance::round_robin}, {"least_requests", Balance::least_requests}});
  }
  if (node["requests_per_endpoint"]) {
    upstream.requests_per_endpoint = static_cast<uint32_t>(read_number(
        node["requests_per_endpoint"], "upstream: requests_per_endpoint", 0, connections_max));
  }
  if (node["ejection_failures"]) {
    upstream.ejection_failures = static_cast<uint32_t>(read_number(
        node["ejection_failures"], "upstream: ejection_failures", 0, ejection_failures_max));
  }
  if (node["ejection_seconds"]) {
    upstream.ejection_seconds = static_cast<uint32_t>(read_number(
        node["ejection_seconds"], "upstream: ejection_seconds", 1, ejection_seconds_max));
  }
  return upstream;
}

// A network, or one address.
void read_trusted_proxy(const YAML::Node& node, ForwardingConfig& forwarding) {
  std::string text = read_text(node, "a trusted proxy");
  const bool ipv6 = is_ipv6_text(text);
  if (text.find('/') == std::string::npos) text += ipv6 ? "/128" : "/32";
  if (const auto prefix = Ipv6Prefix::parse(text); ipv6 && prefix) {
    forwarding.trusted_ipv6.push_back(*prefix);
  } else if (const auto prefix4 = Ipv4Prefix::parse(text); !ipv6 && prefix4) {
    forwarding.trusted_ipv4.push_back(*prefix4);
  } else {
    fail(node, "a trusted proxy must be an address or a network, like 10.0.0.0/8");
  }
}

ForwardingConfig read_forwarding(const YAML::Node& node) {
  expect_keys(node, "forwarding", {"trusted_proxies", "request_id", "forwarded", "loop_detection"});
  ForwardingConfig forwarding;
  if (node["trusted_proxies"]) {
    each(node["trusted_proxies"], "forwarding: trusted_proxies", trusted_proxies_max,
         [&](const YAML::Node& entry) { read_trusted_proxy(entry, forwarding); });
  }
  if (node["request_id"])
    forwarding.request_id = read_flag(node["request_id"], "forwarding: request_id");
  if (node["forwarded"])
    forwarding.forwarded = read_flag(node["forwarded"], "forwarding: forwarded");
  if (node["loop_detection"])
    forwarding.loop_detection = read_flag(node["loop_detection"], "forwarding: loop_detection");
  return forwarding;
}

AccessLogConfig read_access_log(const YAML::Node& node) {
  expect_keys(node, "access_log", {"file", "format", "ring_kib"});
  AccessLogConfig log;
  log.file = read_text(require(node, "file", "access_log"), "access_log: file");
  if (log.file != "stdout" && log.file.front() != '/')
    fail(node["file"], "access_log: file must be an absolute path, or stdout");
  if (node["format"])
    log.format = read_choice<AccessLogFormat>(
        node["format"], "access_log: format",
        {{"json", AccessLogFormat::json}, {"combined", AccessLogFormat::combined}});
  if (node["ring_kib"]) {
    log.ring_kib = static_cast<uint32_t>(read_number(node["ring_kib"], "access_log: ring_kib",
                                                     access_ring_kib_min, access_ring_kib_max));
    if ((log.ring_kib & (log.ring_kib - 1)) != 0)
      fail(node["ring_kib"], "access_log: ring_kib must be a power of two");
  }
  return log;
}

guard::Limits read_publish_guard(const YAML::Node& node) {
  expect_keys(node, "publish_guard", {"mode", "requests", "jump_percent", "seconds"});
  guard::Limits limits;
  if (node["mode"])
    limits.mode = read_choice<guard::Mode>(
        node["mode"], "publish_guard: mode",
        {{"off", guard::Mode::off}, {"warn", guard::Mode::warn}, {"act", guard::Mode::act}});
  if (node["requests"])
    limits.requests_min = static_cast<uint32_t>(read_number(
        node["requests"], "publish_guard: requests", guard_requests_min, guard_requests_max));
  if (node["jump_percent"])
    limits.jump_min = static_cast<double>(read_number(node["jump_percent"],
                                                      "publish_guard: jump_percent", 1, 100)) /
                      100;
  if (node["seconds"])
    limits.watch_max = Duration::seconds(static_cast<int64_t>(
        read_number(node["seconds"], "publish_guard: seconds", 1, guard_seconds_max)));
  return limits;
}

Config read_root(const YAML::Node& root) {
  expect_keys(root, "the configuration",
              {"ports", "routes", "listeners", "socket", "state_directory", "worker", "limits",
               "timeouts", "paths", "upgrades", "upstream", "forwarding", "access_log",
               "publish_guard", "dpdk", "user"});
  Config config;
  each(require(root, "ports", "the configuration"), "ports", packet::ports_max,
       [&](const YAML::Node& node) { config.ports.push_back(read_port(node)); });
  if (config.ports.empty()) fail(root["ports"], "ports is empty");
  if (root["routes"]) {
    each(root["routes"], "routes", routes_max,
         [&](const YAML::Node& node) { read_route(node, config); });
  }
  each(require(root, "listeners", "the configuration"), "listeners", listeners_max,
       [&](const YAML::Node& node) { read_listener(node, config); });
  if (config.listeners.empty() && config.ipv6_listeners.empty())
    fail(root["listeners"], "listeners is empty");
  if (root["socket"]) config.socket = read_text(root["socket"], "socket");
  if (root["state_directory"])
    config.state_directory = read_text(root["state_directory"], "state_directory");
  if (root["worker"]) {
    expect_keys(root["worker"], "worker", {"cpu", "idle"});
    if (root["worker"]["cpu"])
      config.cpu =
          static_cast<uint32_t>(read_number(root["worker"]["cpu"], "worker: cpu", 0, 1'023));
    if (root["worker"]["idle"])
      config.idle = read_choice<Idle>(root["worker"]["idle"], "worker: idle",
                                      {{"sleep", Idle::sleep}, {"spin", Idle::spin}});
  }
  if (const YAML::Node dpdk = root["dpdk"]) {
    expect_keys(dpdk, "dpdk", {"huge_pages", "memory_mib"});
    if (dpdk["huge_pages"])
      config.dpdk.huge_pages = read_flag(dpdk["huge_pages"], "dpdk: huge_pages");
    if (dpdk["memory_mib"])
      config.dpdk.memory_mib = static_cast<uint32_t>(
          read_number(dpdk["memory_mib"], "dpdk: memory_mib", 16, dpdk_memory_mib_max));
  }
  if (const YAML::Node limits = root["limits"]) {
    expect_keys(limits, "limits",
                {"connections", "packet_memory_mib", "request_body_bytes", "request_body_rate",
                 "connections_per_client", "requests_per_client", "traffic_rows"});
    if (limits["connections"]) {
      config.limits.connections = static_cast<uint32_t>(read_number(
          limits["connections"], "limits: connections", connections_min, connections_max));
    }
    if (limits["packet_memory_mib"]) {
      config.limits.packet_memory_mib = static_cast<uint32_t>(
          read_number(limits["packet_memory_mib"], "limits: packet_memory_mib",
                      packet_memory_mib_min, packet_memory_mib_max));
    }
    if (limits["request_body_bytes"]) {
      config.limits.request_body_bytes =
          read_number(limits["request_body_bytes"], "limits: request_body_bytes", 0, INT64_MAX);
    }
    if (limits["request_body_rate"]) {
      config.limits.request_body_rate = read_number(
          limits["request_body_rate"], "limits: request_body_rate", 0, request_body_rate_max);
    }
    if (limits["connections_per_client"]) {
      config.limits.connections_per_client = static_cast<uint32_t>(read_number(
          limits["connections_per_client"], "limits: connections_per_client", 0, connections_max));
    }
    if (limits["requests_per_client"]) {
      config.limits.requests_per_client = static_cast<uint32_t>(
          read_number(limits["requests_per_client"], "limits: requests_per_client", 0,
                      requests_per_client_max));
    }
    if (limits["traffic_rows"]) {
      config.limits.traffic_rows = static_cast<uint32_t>(
          read_number(limits["traffic_rows"], "limits: traffic_rows", 0, traffic_rows_max));
    }
  }
  if (root["timeouts"]) config.timeouts = read_timeouts(root["timeouts"]);
  if (root["upgrades"]) {
    config.upgrades.clear();
    each(root["upgrades"], "upgrades", upgrades_max,
         [&](const YAML::Node& entry) { config.upgrades.push_back(read_upgrade(entry)); });
  }
  if (const YAML::Node paths = root["paths"]) {
    expect_keys(paths, "paths", {"encoded_slash"});
    if (paths["encoded_slash"])
      config.paths.passes_encoded_slash = read_choice<bool>(
          paths["encoded_slash"], "paths: encoded_slash", {{"refuse", false}, {"pass", true}});
  }
  if (root["upstream"]) config.upstream = read_upstream(root["upstream"]);
  if (root["forwarding"]) config.forwarding = read_forwarding(root["forwarding"]);
  if (!config.proxy_protocol_listeners.empty() && config.forwarding.trusted_ipv4.empty() &&
      config.forwarding.trusted_ipv6.empty()) {
    fail(root["listeners"],
         "a listener has proxy_protocol, and forwarding: trusted_proxies names nobody who may "
         "speak it");
  }
  if (root["access_log"]) config.access_log = read_access_log(root["access_log"]);
  if (root["publish_guard"]) config.publish_guard = read_publish_guard(root["publish_guard"]);
  if (root["user"])
    config.user = static_cast<uint32_t>(read_number(root["user"], "user", 0, UINT32_MAX - 1));
  check_references(config, root);
  return config;
}

}  // namespace

Result<Config> parse_config(const std::string& text, const std::string& file_name) {
  const auto at = [&](const YAML::Mark& mark) {
    return mark.is_null() ? file_name : file_name + ":" + std::to_string(mark.line + 1);
  };
  try {
    const YAML::Node root = YAML::Load(text);
    if (!root || root.IsNull()) return Error{file_name + ": the file is empty"};
    return read_root(root);
  } catch (const Mistake& mistake) {
    return Error{at(mistake.mark) + ": " + mistake.what};
  } catch (const YAML::Exception& exception) {
    return Error{at(exception.mark) + ": not readable as YAML: " + exception.msg};
  }
}

Result<Config> read_config(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return Error{path + ": " + std::strerror(errno)};
  std::ostringstream text;
  text << file.rdbuf();
  if (!file || text.str().size() > config_bytes_max)
    return Error{path + ": not readable, or larger than 1 MiB"};
  return parse_config(text.str(), path);
}

}  // namespace millrace
