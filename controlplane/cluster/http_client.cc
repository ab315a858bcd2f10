#include "controlplane/cluster/http_client.h"

#include <curl/curl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "base/unique_fd.h"

namespace millrace::cluster {

namespace {

constexpr char user_agent[] = "millrace-controlplane/0.1.0";
constexpr long connect_seconds_max = 10;
// A peer that vanished without a FIN is noticed within this time: probes while nothing is under
// way, unacknowledged octets otherwise.
constexpr long keepalive_idle_seconds = 20;
constexpr long keepalive_interval_seconds = 5;
constexpr unsigned unacknowledged_ms_max = 30'000;
constexpr size_t events_a_turn = 64;

struct Transfer {
  CURL* easy = nullptr;
  curl_slist* headers = nullptr;
  curl_slist* connect_to = nullptr;
  std::string url;
  std::string body;
  HttpHandler handler;
  bool said_head = false;
  bool is_canceled = false;  // its handlers are not called; they may be running now
  bool is_unwanted = false;  // a handler said that the rest is not
  std::array<char, CURL_ERROR_SIZE> error{};

  ~Transfer() {
    curl_easy_cleanup(easy);
    curl_slist_free_all(headers);
    curl_slist_free_all(connect_to);
  }
};

// Once a process, before the first handle.
bool start_curl() {
  static const bool started = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
  return started;
}

int set_socket_options(void*, curl_socket_t socket, curlsocktype) {
  const unsigned limit = unacknowledged_ms_max;
  setsockopt(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, &limit, sizeof limit);
  return CURL_SOCKOPT_OK;
}

curl_blob blob_of(const std::string& bytes) {
  // NOLINTNEXTLINE: libcurl copies what a blob with this flag holds and never writes to it
  return {const_cast<char*>(bytes.data()), bytes.size(), CURL_BLOB_COPY};
}

std::optional<Duration> retry_after_of(CURL* easy) {
  curl_off_t seconds = 0;
  curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &seconds);
  if (seconds <= 0) return std::nullopt;
  constexpr curl_off_t seconds_max = 600;
  return Duration::seconds(std::min(seconds, seconds_max));
}

// libcurl says after how many milliseconds something failed. The same failure is the same sentence
// for whoever compares them.
std::string without_times(std::string text) {
  constexpr std::string_view after = " after ";
  for (size_t at = text.find(after); at != std::string::npos; at = text.find(after, at + 1)) {
    const size_t digits = at + after.size();
    const size_t end = text.find_first_not_of("0123456789", digits);
    if (end == digits || end == std::string::npos) continue;
    for (const std::string_view unit : {" milliseconds", " ms"}) {
      if (text.compare(end, unit.size(), unit) == 0) {
        text.erase(at, end + unit.size() - at);
        break;
      }
    }
  }
  return text;
}

// Tells the head once, before whatever follows it.
bool say_head(Transfer* transfer) {
  if (transfer->is_canceled) return false;
  if (std::exchange(transfer->said_head, true)) return !transfer->is_unwanted;
  long status = 0;
  char* content_type = nullptr;
  curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
  curl_easy_getinfo(transfer->easy, CURLINFO_CONTENT_TYPE, &content_type);
  const bool wanted =
      transfer->handler.head(static_cast<int>(status), content_type == nullptr ? "" : content_type,
                             retry_after_of(transfer->easy));
  transfer->is_unwanted = !wanted;
  return wanted;
}

size_t on_body(char* bytes, size_t size, size_t count, void* user) {
  auto* transfer = static_cast<Transfer*>(user);
  if (!say_head(transfer) || transfer->is_canceled) return CURL_WRITEFUNC_ERROR;
  if (transfer->handler.body({bytes, size * count})) return size * count;
  transfer->is_unwanted = true;
  return CURL_WRITEFUNC_ERROR;
}

// The head is told when it is whole, not with the first octet of the body: a watch may have none
// for a minute.
size_t on_header(char* bytes, size_t size, size_t count, void* user) {
  auto* transfer = static_cast<Transfer*>(user);
  const std::string_view line(bytes, size * count);
  if (line != "\r\n" && line != "\n") return size * count;
  long status = 0;
  curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
  if (status < 200) return size * count;  // RFC 9110 15.2: another head follows
  return say_head(transfer) ? size * count : 0;
}

}  // namespace

struct HttpClient::State {
  CURLM* multi = nullptr;
  UniqueFd epoll;
  Instant due = Instant::never();
  Instant now;
  bool timer_is_new = false;  // set before the first turn: due at once
  HttpTransferId next_id = 1;
  std::map<HttpTransferId, std::unique_ptr<Transfer>> transfers;
  std::vector<std::unique_ptr<Transfer>> canceled;  // while libcurl may be inside one of them
  bool in_turn = false;

  ~State() {
    for (auto& [id, transfer] : transfers) curl_multi_remove_handle(multi, transfer->easy);
    for (auto& transfer : canceled) curl_multi_remove_handle(multi, transfer->easy);
    transfers.clear();
    canceled.clear();
    if (multi != nullptr) curl_multi_cleanup(multi);
  }

  static int on_socket(CURL*, curl_socket_t socket, int what, void* user, void*) {
    auto* state = static_cast<State*>(user);
    epoll_event event{};
    event.data.fd = socket;
    if (what == CURL_POLL_REMOVE) {
      epoll_ctl(state->epoll.get(), EPOLL_CTL_DEL, socket, nullptr);
      return 0;
    }
    if ((what & CURL_POLL_IN) != 0) event.events |= EPOLLIN;
    if ((what & CURL_POLL_OUT) != 0) event.events |= EPOLLOUT;
    if (epoll_ctl(state->epoll.get(), EPOLL_CTL_MOD, socket, &event) != 0) {
      epoll_ctl(state->epoll.get(), EPOLL_CTL_ADD, socket, &event);
    }
    return 0;
  }

  static int on_timer(CURLM*, long timeout_ms, void* user) {
    auto* state = static_cast<State*>(user);
    state->due =
        timeout_ms < 0 ? Instant::never() : state->now + Duration::milliseconds(timeout_ms);
    return 0;
  }

  void finish() {
    int left = 0;  // libcurl wants to say it
    while (CURLMsg* message = curl_multi_info_read(multi, &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      const CURLcode code = message->data.result;
      CURL* easy = message->easy_handle;
      const auto at = std::find_if(transfers.begin(), transfers.end(),
                                   [&](const auto& one) { return one.second->easy == easy; });
      curl_multi_remove_handle(multi, easy);
      if (at == transfers.end()) continue;  // canceled: nobody waits for it
      const std::unique_ptr<Transfer> transfer = std::move(at->second);
      transfers.erase(at);
      end(transfer.get(), code);
    }
  }

  static void end(Transfer* transfer, CURLcode code) {
    std::optional<std::string> failure;
    if (code == CURLE_OK) {
      say_head(transfer);
    } else if (!transfer->is_unwanted) {
      failure = without_times(transfer->error[0] != '\0' ? transfer->error.data()
                                                         : curl_easy_strerror(code));
    }
    if (!transfer->is_canceled) transfer->handler.end(failure);
  }
};

HttpClient::HttpClient(std::unique_ptr<State> state) : state_(std::move(state)) {}
HttpClient::~HttpClient() = default;

Result<std::unique_ptr<HttpClient>> HttpClient::create() {
  auto state = std::make_unique<State>();
  state->epoll = UniqueFd(epoll_create1(EPOLL_CLOEXEC));
  if (!state->epoll) return Error{"the kernel gives no epoll descriptor"};
  if (!start_curl() || (state->multi = curl_multi_init()) == nullptr) {
    return Error{"libcurl cannot be started"};
  }
  curl_multi_setopt(state->multi, CURLMOPT_PIPELINING, CURLPIPE_MULTIPLEX);
  curl_multi_setopt(state->multi, CURLMOPT_SOCKETFUNCTION, State::on_socket);
  curl_multi_setopt(state->multi, CURLMOPT_SOCKETDATA, state.get());
  curl_multi_setopt(state->multi, CURLMOPT_TIMERFUNCTION, State::on_timer);
  curl_multi_setopt(state->multi, CURLMOPT_TIMERDATA, state.get());
  return std::unique_ptr<HttpClient>(new HttpClient(std::move(state)));
}

int HttpClient::fd() const {
  return state_->epoll.get();
}

Instant HttpClient::due() const {
  return state_->due;
}

namespace {

void set_identity(CURL* easy, const HttpIdentity& identity) {
  const auto set_blob = [&](CURLoption option, const std::string& bytes) {
    if (bytes.empty()) return;
    curl_blob blob = blob_of(bytes);
    curl_easy_setopt(easy, option, &blob);
  };
  set_blob(CURLOPT_CAINFO_BLOB, identity.ca_pem);
  // Else the system's folder of certificates counts beside it.
  if (!identity.ca_pem.empty()) curl_easy_setopt(easy, CURLOPT_CAPATH, nullptr);
  set_blob(CURLOPT_SSLCERT_BLOB, identity.client_certificate_pem);
  set_blob(CURLOPT_SSLKEY_BLOB, identity.client_key_pem);
  if (identity.insecure_skip_tls_verify) {
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
  }
  if (!identity.bearer_token.empty()) {
    curl_easy_setopt(easy, CURLOPT_HTTPAUTH, CURLAUTH_BEARER);
    curl_easy_setopt(easy, CURLOPT_XOAUTH2_BEARER, identity.bearer_token.c_str());
  } else if (!identity.user_name.empty()) {
    curl_easy_setopt(easy, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
    curl_easy_setopt(easy, CURLOPT_USERNAME, identity.user_name.c_str());
    curl_easy_setopt(easy, CURLOPT_PASSWORD, identity.password.c_str());
  }
}

void set_connection(CURL* easy) {
  curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_2TLS);
  curl_easy_setopt(easy, CURLOPT_PIPEWAIT, 1L);  // rather share a connection than open one more
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, connect_seconds_max);
  curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
  curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, keepalive_idle_seconds);
  curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, keepalive_interval_seconds);
  curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, set_socket_options);
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_QUICK_EXIT,
                   1L);  // a name that is being looked up is not waited for
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_USERAGENT, user_agent);
}

// The name in the handshake is the one of the URL (RFC 6066 3): the URL gets the name that the
// certificate has, and where to connect is told apart.
void set_server_name(Transfer* transfer, const std::string& name) {
  CURLU* url = curl_url();
  char* host = nullptr;
  char* port = nullptr;
  char* renamed = nullptr;
  if (curl_url_set(url, CURLUPART_URL, transfer->url.c_str(), 0) == CURLUE_OK &&
      curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
      curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK &&
      curl_url_set(url, CURLUPART_HOST, name.c_str(), 0) == CURLUE_OK &&
      curl_url_get(url, CURLUPART_URL, &renamed, 0) == CURLUE_OK) {
    const std::string line = name + ':' + port + ':' + host + ':' + port;
    transfer->connect_to = curl_slist_append(nullptr, line.c_str());
    transfer->url = renamed;
    curl_easy_setopt(transfer->easy, CURLOPT_URL, transfer->url.c_str());
    curl_easy_setopt(transfer->easy, CURLOPT_CONNECT_TO, transfer->connect_to);
  }
  curl_free(host);
  curl_free(port);
  curl_free(renamed);
  curl_url_cleanup(url);
}

}  // namespace

HttpTransferId HttpClient::start(const HttpIdentity& identity, const HttpRequest& request,
                                 HttpHandler handler) {
  auto transfer = std::make_unique<Transfer>();
  CURL* easy = transfer->easy = curl_easy_init();
  CHECK(easy != nullptr);
  transfer->handler = std::move(handler);
  transfer->body = request.body;
  transfer->url = identity.server + request.target;
  set_connection(easy);
  set_identity(easy, identity);
  curl_easy_setopt(easy, CURLOPT_URL, transfer->url.c_str());
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->error.data());
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer.get());
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer.get());
  curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, static_cast<long>(request.time_max.count_ms()));
  const auto add_header = [&](const std::string& line) {
    transfer->headers = curl_slist_append(transfer->headers, line.c_str());
  };
  if (!request.accept.empty()) add_header("Accept: " + request.accept);
  if (request.method != "GET") {
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request.method.c_str());
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, transfer->body.data());
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
                     static_cast<curl_off_t>(transfer->body.size()));
    add_header("Content-Type: " + request.content_type);
    add_header("Expect:");  // no 100-continue: bodies are small
  }
  if (!identity.tls_server_name.empty()) {
    set_server_name(transfer.get(), identity.tls_server_name);
  }
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer->headers);
  curl_multi_add_handle(state_->multi, easy);
  const HttpTransferId id = state_->next_id++;
  state_->transfers.emplace(id, std::move(transfer));
  return id;
}

void HttpClient::cancel(HttpTransferId id) {
  const auto at = state_->transfers.find(id);
  if (at == state_->transfers.end()) return;
  std::unique_ptr<Transfer> transfer = std::move(at->second);
  state_->transfers.erase(at);
  transfer->is_canceled = true;
  if (state_->in_turn) {
    state_->canceled.push_back(std::move(transfer));
  } else {
    curl_multi_remove_handle(state_->multi, transfer->easy);
  }
}

void HttpClient::turn(Instant now) {
  State& state = *state_;
  state.now = now;
  state.in_turn = true;
  int running = 0;
  std::array<epoll_event, events_a_turn> events;
  const int count = epoll_wait(state.epoll.get(), events.data(), events_a_turn, 0);
  for (int i = 0; i < count; ++i) {
    int what = 0;
    if ((events[i].events & (EPOLLIN | EPOLLHUP)) != 0) what |= CURL_CSELECT_IN;
    if ((events[i].events & EPOLLOUT) != 0) what |= CURL_CSELECT_OUT;
    if ((events[i].events & EPOLLERR) != 0) what |= CURL_CSELECT_ERR;
    curl_multi_socket_action(state.multi, events[i].data.fd, what, &running);
  }
  if (state.now >= state.due) {
    state.due = Instant::never();
    curl_multi_socket_action(state.multi, CURL_SOCKET_TIMEOUT, 0, &running);
  }
  state.finish();
  state.in_turn = false;
  for (auto& transfer : state.canceled) curl_multi_remove_handle(state.multi, transfer->easy);
  state.canceled.clear();
}

}  // namespace millrace::cluster
