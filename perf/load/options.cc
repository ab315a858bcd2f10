#include "perf/load/options.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <functional>
#include <map>

namespace millrace::load {
namespace {

constexpr uint32_t xdp_queue_max = 63;
constexpr double seconds_max = 86'400;

struct OptionText {
  const char* name;
  const char* value;  // empty: a flag
  const char* what;
};

constexpr std::array<OptionText, 43> option_texts = {{
    {"port", "PORT", "xdp:IFNAME[:QUEUE] | memif:SOCKET[:server|client] | kernel"},
    {"client", "", "role: asks"},
    {"backend", "", "role: answers; may run beside --client"},
    {"reflect", "", "role: sends every unicast frame back, MAC addresses swapped"},
    {"reflect-address", "A", "the reflector answers ARP for it"},
    {"xdp-mode", "MODE", "auto (default), native or generic"},
    {"client-address", "A/LEN", "first source address"},
    {"client-address-count", "N", "so many consecutive ones, 64,512 connections each (1)"},
    {"gateway", "A", "next hop of the client, if it is not the target itself"},
    {"gateway-mac", "MAC", "its link address, so that nobody is asked"},
    {"backend-address", "A[/LEN]", "where the backend answers"},
    {"backend-port", "P", "its first port (8080)"},
    {"backend-port-count", "N", "so many consecutive ones, at most 64 (1)"},
    {"backend-connections", "N", "at most so many at a time (1100000)"},
    {"listen", "A:P", "kernel port: where the backend listens"},
    {"target", "A:P", "where the client connects to"},
    {"connections", "N", "that ask, at most 1,000,000 (1)"},
    {"idle-connections", "N", "opened besides and kept silent"},
    {"slow-clients", "N", "more that ask, and read 10 kB/s"},
    {"schedule", "S", "closed (default), constant:RATE or poisson:RATE, requests a second"},
    {"lifetime", "L", "keepalive (default) or request: SYN, one request, FIN"},
    {"request-head", "H",
     "small, browser (default), large or forwarded: about 80, 300, 1500, 400 octets"},
    {"request-body-bytes", "N", "0 (default): GET, else POST"},
    {"response-bytes", "N", "of the body (100); the client wants as many"},
    {"any-response", "", "the client takes a 200 of any length, and of any tag if none is named"},
    {"tag", "TEXT", "what response bodies begin with (millrace-load)"},
    {"host-pattern", "P", "of Host, with at most one %0Nu (tenant%06u.example)"},
    {"host-count", "N", "so many hosts, drawn for each request (1)"},
    {"path", "P", "of requests (/)"},
    {"connect-rate", "N", "connections opened a second at first, at most (50000)"},
    {"timeout", "SECONDS", "of a response (10)"},
    {"no-timestamps", "", "TCP without timestamps"},
    {"trust-checksums", "", "received checksums are not verified"},
    {"packet-memory-mib", "N", "for frames (32)"},
    {"seed", "N", "of all chance (1)"},
    {"cpu", "N", "runs on this core only"},
    {"when-idle", "W", "spin (default), yield or sleep"},
    {"warmup", "SECONDS", "before figures count (1)"},
    {"duration", "SECONDS", "for which they count (10)"},
    {"json", "FILE", "figures into this file; - or absent: standard output"},
    {"control", "", "commands on standard input: begin, end, rate R, stop"},
    {"help", "", "this text"},
    {nullptr, nullptr, nullptr},
}};

// Reads the values one by one; the first mistake ends it.
class Parser {
 public:
  Result<Options> parse(const std::vector<std::string>& words);

 private:
  using Reader = std::function<void(const std::string& value)>;
  void make_readers();
  void read(const std::string& name, const std::string& value);
  void check_together();
  void check_framed();
  void check_kernel();
  void refuse_without(std::initializer_list<const char*> names, const char* kind);

  void fail(const std::string& what) {
    if (error_.empty()) error_ = what;
  }
  void wrong(const std::string& wanted) {
    fail("--" + name_ + " " + value_ + ": must be " + wanted);
  }
  uint64_t number(uint64_t least, uint64_t most) {
    const auto value = parse_decimal(value_, most);
    if (value && *value >= least) return *value;
    wrong("a number from " + std::to_string(least) + " to " + std::to_string(most));
    return least;
  }
  uint32_t small_number(uint64_t least, uint64_t most) {
    return static_cast<uint32_t>(number(least, most));
  }
  double real(double least, double most) {
    char* end = nullptr;
    const double value = std::strtod(value_.c_str(), &end);
    if (!value_.empty() && *end == '\0' && value >= least && value <= most) return value;
    wrong("a number from " + std::to_string(least) + " to " + std::to_string(most));
    return least;
  }
  Ipv4Address address() {
    // A prefix length says nothing to us: the next hop is the target or the gateway.
    const auto prefix = Ipv4Prefix::parse(value_);
    const auto plain = Ipv4Address::parse(value_);
    if (prefix) return prefix->address;
    if (plain) return *plain;
    wrong("an IPv4 address, with or without /LEN");
    return {};
  }
  SocketAddress socket_address() {
    const auto parsed = SocketAddress::parse(value_);
    if (parsed && parsed->port != 0) return *parsed;
    wrong("ADDRESS:PORT");
    return {};
  }
  template <class Value>
  Value choice(std::initializer_list<std::pair<const char*, Value>> choices) {
    std::string names;
    for (const auto& [name, value] : choices) {
      if (value_ == name) return value;
      names += (names.empty() ? "" : " or ") + std::string(name);
    }
    wrong(names);
    return choices.begin()->second;
  }
  void read_port();
  void read_schedule();

  Options options_;
  ClientOptions client_;
  BackendOptions backend_;
  bool has_client_address_ = false;
  bool has_backend_address_ = false;
  bool any_response_ = false;
  std::map<std::string, Reader> readers_;
  std::map<std::string, bool> seen_;
  std::string name_;
  std::string value_;
  std::string error_;
};

void Parser::make_readers() {
  Options& o = options_;
  readers_ = {
      {"port", [this](auto&) { read_port(); }},
      {"client", [&o](auto&) { o.client = true; }},
      {"backend", [&o](auto&) { o.backend = true; }},
      {"reflect", [&o](auto&) { o.reflect = true; }},
      {"reflect-address", [this, &o](auto&) { o.station.reflect_address = address(); }},
      {"xdp-mode",
       [this, &o](auto&) {
         o.port.attach = choice<XdpAttach>({{"auto", XdpAttach::automatic},
                                            {"native", XdpAttach::native},
                                            {"generic", XdpAttach::generic}});
       }},
      {"client-address",
       [this](auto&) {
         client_.first_address = address();
         has_client_address_ = true;
       }},
      {"client-address-count", [this](auto&) { client_.address_count = small_number(1, 64); }},
      {"gateway", [this, &o](auto&) { o.station.gateway = address(); }},
      {"gateway-mac",
       [this, &o](auto&) {
         o.station.gateway_mac = parse_mac(value_);
         if (!o.station.gateway_mac) wrong("a MAC address, 02:00:00:00:00:01");
       }},
      {"backend-address",
       [this](auto&) {
         backend_.address = address();
         has_backend_address_ = true;
       }},
      {"backend-port",
       [this](auto&) { backend_.first_port = static_cast<uint16_t>(number(1, 65'535)); }},
      {"backend-port-count",
       [this, &o](auto&) {
         backend_.port_count = o.listen_port_count = small_number(1, backend_ports_max);
       }},
      {"backend-connections",
       [this](auto&) { backend_.connections_max = small_number(1, 4'000'000); }},
      {"listen", [this, &o](auto&) { o.listen = socket_address(); }},
      {"target", [this, &o](auto&) { o.target = client_.target = socket_address(); }},
      {"connections", [this](auto&) { client_.connections = small_number(1, 1'000'000); }},
      {"idle-connections",
       [this](auto&) { client_.idle_connections = small_number(0, 1'000'000); }},
      {"slow-clients", [this](auto&) { client_.slow_clients = small_number(0, 100'000); }},
      {"schedule", [this](auto&) { read_schedule(); }},
      {"lifetime",
       [this](auto&) {
         client_.lifetime =
             choice<Lifetime>({{"keepalive", Lifetime::keepalive}, {"request", Lifetime::request}});
       }},
      {"request-head",
       [this, &o](auto&) {
         o.request.head = choice<RequestHead>({{"small", RequestHead::small},
                                               {"browser", RequestHead::browser},
                                               {"large", RequestHead::large},
                                               {"forwarded", RequestHead::forwarded}});
       }},
      {"request-body-bytes",
       [this, &o](auto&) { o.request.body_bytes = small_number(0, message_bytes_max / 2); }},
      {"response-bytes",
       [this, &o](auto&) { o.response_bytes = small_number(0, message_bytes_max / 2); }},
      {"any-response", [this](auto&) { any_response_ = true; }},
      {"tag",
       [this, &o](auto&) {
         o.tag = value_;
         if (o.tag.size() > 64) wrong("at most 64 octets");
       }},
      {"host-pattern", [this, &o](auto&) { o.request.host_pattern = value_; }},
      {"host-count",
       [this, &o](auto&) {
         o.request.host_count = client_.host_count = small_number(1, 999'999'999);
       }},
      {"path", [this, &o](auto&) { o.request.path = value_; }},
      {"connect-rate",
       [this](auto&) { client_.connects_per_second_max = small_number(1, 10'000'000); }},
      {"timeout",
       [this](auto&) {
         client_.response_timeout_ms = static_cast<uint32_t>(real(0.1, 600) * 1000);
       }},
      {"no-timestamps", [this](auto&) { client_.timestamps = backend_.timestamps = false; }},
      {"trust-checksums", [&o](auto&) { o.station.verify_checksums = false; }},
      {"packet-memory-mib", [this, &o](auto&) { o.port.memory_mib = small_number(16, 4'096); }},
      {"seed", [this](auto&) { client_.seed = number(0, UINT64_MAX); }},
      {"cpu", [this, &o](auto&) { o.cpu = small_number(0, 1'023); }},
      {"when-idle",
       [this, &o](auto&) {
         o.when_idle = choice<WhenIdle>(
             {{"spin", WhenIdle::spin}, {"yield", WhenIdle::yield}, {"sleep", WhenIdle::sleep}});
       }},
      {"warmup", [this, &o](auto&) { o.warmup_seconds = real(0, seconds_max); }},
      {"duration", [this, &o](auto&) { o.duration_seconds = real(0.01, seconds_max); }},
      {"json", [this, &o](auto&) { o.json_path = value_ == "-" ? "" : value_; }},
      {"control", [&o](auto&) { o.control = true; }},
      {"help", [&o](auto&) { o.help = true; }},
  };
}

void Parser::read_port() {
  PortOptions& port = options_.port;
  std::vector<std::string> parts;
  for (size_t at = 0; at <= value_.size();) {
    const size_t end = std::min(value_.find(':', at), value_.size());
    parts.push_back(value_.substr(at, end - at));
    at = end + 1;
  }
  if (parts[0] == "kernel" && parts.size() == 1) {
    port.kind = PortKind::kernel;
    return;
  }
  const bool named = parts.size() >= 2 && parts.size() <= 3 && !parts[1].empty();
  if (parts[0] == "xdp" && named) {
    port.kind = PortKind::xdp;
    port.interface = parts[1];
    const auto queue = parse_decimal(parts.size() == 3 ? parts[2] : "0", xdp_queue_max);
    if (queue) {
      port.queue = static_cast<uint32_t>(*queue);
      return;
    }
  } else if (parts[0] == "memif" && named) {
    port.kind = PortKind::memif;
    port.socket = parts[1];
    port.is_server = parts.size() == 3 && parts[2] == "server";
    if (parts.size() == 2 || port.is_server || parts[2] == "client") return;
  }
  wrong("xdp:IFNAME[:QUEUE], memif:SOCKET[:server|client] or kernel");
}

void Parser::read_schedule() {
  if (value_ == "closed") {
    client_.pace = Pace::closed;
    return;
  }
  const size_t colon = value_.find(':');
  const std::string pace = value_.substr(0, colon);
  if ((pace != "constant" && pace != "poisson") || colon == std::string::npos) {
    wrong("closed, constant:RATE or poisson:RATE");
    return;
  }
  client_.pace = pace == "constant" ? Pace::constant : Pace::poisson;
  value_ = value_.substr(colon + 1);
  client_.rate_per_second = real(0.001, rate_per_second_max);
}

void Parser::read(const std::string& name, const std::string& value) {
  name_ = name;
  value_ = value;
  if (seen_[name]) fail("--" + name + " is there twice");
  seen_[name] = true;
  readers_.at(name)(value);
}

// Of options that a kind of port would silently do without.
void Parser::refuse_without(std::initializer_list<const char*> names, const char* kind) {
  for (const char* name : names) {
    if (seen_[name]) fail(std::string("--") + name + " needs " + kind);
  }
}

void Parser::check_framed() {
  refuse_without({"listen"}, "--port kernel");
  if (options_.port.kind != PortKind::xdp) refuse_without({"xdp-mode"}, "--port xdp:IFNAME");
  if (options_.reflect && (options_.client || options_.backend)) {
    fail("--reflect goes with no other role");
  }
  if (options_.client && !has_client_address_) fail("--client needs --client-address");
  if (options_.backend && !has_backend_address_) fail("--backend needs --backend-address");
  if (uint32_t{backend_.first_port} + backend_.port_count > 65'536) {
    fail("--backend-port-count goes beyond port 65535");
  }
  const uint64_t places =
      uint64_t{client_.connections} + client_.idle_connections + client_.slow_clients;
  if (places > connections_max) {
    fail("more than " + std::to_string(connections_max) + " connections of all kinds");
  } else if (client_.places() > uint64_t{client_.address_count} * ports_per_address) {
    // Short connections take what is left of the ports.
    const uint64_t wanted = (client_.places() + ports_per_address - 1) / ports_per_address;
    fail("--client-address-count: so many connections need " + std::to_string(wanted));
  }
}

void Parser::check_kernel() {
  refuse_without(
      {"reflect", "reflect-address", "gateway", "gateway-mac", "backend-address", "backend-port",
       "no-timestamps", "trust-checksums", "packet-memory-mib", "xdp-mode"},
      "a port that carries frames, not kernel");
  if (options_.backend && options_.listen.port == 0)
    fail("--backend on the kernel port needs --listen");
}

void Parser::check_together() {
  Options& o = options_;
  if (!seen_["port"]) fail("--port is missing");
  if (!o.client && !o.backend && !o.reflect)
    fail("a role is missing: --client, --backend or --reflect");
  if (o.client && !seen_["target"]) fail("--client needs --target");
  if (o.port.kind == PortKind::kernel) {
    check_kernel();
  } else {
    check_framed();
  }
  o.station.reflect = o.reflect;
  if (o.client) o.station.client = client_;
  if (o.backend) o.station.backend = backend_;
  for (uint32_t i = 0; has_client_address_ && i < client_.address_count; ++i) {
    o.addresses.push_back(Ipv4Address::from_host_order(client_.first_address.host_order() + i));
  }
  if (has_backend_address_) o.addresses.push_back(backend_.address);
  if (o.station.reflect_address) o.addresses.push_back(*o.station.reflect_address);
  if (!any_response_) o.station.expectation.body_bytes = o.response_bytes;
  if (!any_response_ || seen_["tag"]) o.station.expectation.tag = o.tag;
  auto request = RequestText::make(o.request);
  if (!request.ok()) {
    fail(request.error());
  } else {
    o.station.request = std::move(*request);
  }
  o.station.response = ResponseText(o.tag, o.response_bytes);
}

Result<Options> Parser::parse(const std::vector<std::string>& words) {
  make_readers();
  client_.seed = 1;
  for (size_t i = 0; i < words.size() && error_.empty(); ++i) {
    std::string name = words[i];
    std::string value;
    if (!name.starts_with("--")) return Error{"\"" + name + "\" is not an option"};
    name.erase(0, 2);
    const size_t equals = name.find('=');
    const bool attached = equals != std::string::npos;
    if (attached) {
      value = name.substr(equals + 1);
      name.erase(equals);
    }
    const OptionText* text = option_texts.data();
    while (text->name != nullptr && name != text->name) ++text;
    if (text->name == nullptr) return Error{"there is no option --" + name};
    const bool flag = text->value[0] == '\0';
    if (flag && attached) return Error{"--" + name + " takes no value"};
    if (!flag && !attached) {
      if (i + 1 == words.size()) return Error{"--" + name + " needs a value"};
      value = words[++i];
    }
    read(name, value);
  }
  if (!options_.help && error_.empty()) check_together();
  if (!error_.empty()) return Error{error_};
  return std::move(options_);
}

}  // namespace

Result<Options> parse_options(const std::vector<std::string>& words) {
  return Parser().parse(words);
}

std::string usage() {
  std::string text = "usage: millrace-load --port PORT (--client | --backend | --reflect) ...\n";
  for (const OptionText* option = option_texts.data(); option->name != nullptr; ++option) {
    std::string left = "  --" + std::string(option->name) + " " + option->value;
    left.resize(std::max<size_t>(left.size() + 1, 30), ' ');
    text += left + option->what + "\n";
  }
  return text;
}

}  // namespace millrace::load
