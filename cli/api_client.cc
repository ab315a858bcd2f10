#include "cli/api_client.h"

#include <curl/curl.h>

#include <cstdio>
#include <memory>

#include "controlplane/answers/answers.pb.h"

namespace millrace::cli {

namespace {

constexpr long connect_ms_max = 5'000;
constexpr long answer_ms_max = 120'000;
constexpr size_t answer_bytes_max = size_t{1} << 30;

size_t take(char* data, size_t size, size_t count, void* body) {
  auto& text = *static_cast<std::string*>(body);
  if (text.size() + size * count > answer_bytes_max) return 0;
  text.append(data, size * count);
  return size * count;
}

std::string url_of(CURL* curl, const ApiQuestion& question) {
  std::string url = "http://localhost" + question.path;
  char separator = '?';
  for (const auto& [name, value] : question.query) {
    const std::unique_ptr<char, void (*)(void*)> escaped(
        curl_easy_escape(curl, value.data(), static_cast<int>(value.size())), curl_free);
    url += separator + name + '=' + (escaped ? escaped.get() : "");
    separator = '&';
  }
  return url;
}

}  // namespace

ApiAnswer ask(const ApiQuestion& question) {
  ApiAnswer answer;
  const std::string socket = question.folder + "/controlplane.sock";
  const std::unique_ptr<CURL, void (*)(CURL*)> curl(curl_easy_init(), curl_easy_cleanup);
  if (!curl) return {0, "libcurl cannot be started"};
  const std::string url = url_of(curl.get(), question);
  const std::unique_ptr<curl_slist, void (*)(curl_slist*)> headers(
      // Without the wait for "100 Continue".
      curl_slist_append(nullptr, "Expect:"), curl_slist_free_all);
  curl_easy_setopt(curl.get(), CURLOPT_UNIX_SOCKET_PATH, socket.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_PROXY, "");
  curl_easy_setopt(curl.get(), CURLOPT_HTTPHEADER, headers.get());
  curl_easy_setopt(curl.get(), CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_CONNECTTIMEOUT_MS, connect_ms_max);
  curl_easy_setopt(curl.get(), CURLOPT_TIMEOUT_MS, answer_ms_max);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, &take);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, &answer.body);
  if (question.method == "POST") {
    curl_easy_setopt(curl.get(), CURLOPT_POST, 1L);
    curl_easy_setopt(curl.get(), CURLOPT_POSTFIELDSIZE_LARGE,
                     static_cast<curl_off_t>(question.body.size()));
    curl_easy_setopt(curl.get(), CURLOPT_POSTFIELDS, question.body.data());
  }
  const CURLcode code = curl_easy_perform(curl.get());
  if (code != CURLE_OK) {
    return {0, "no control plane answers at " + socket + ": " + curl_easy_strerror(code)};
  }
  long status = 0;
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &status);
  answer.status = static_cast<unsigned>(status);
  return answer;
}

int ask(const ApiQuestion& question, bool json, google::protobuf::Message* message) {
  const ApiAnswer answer = ask(question);
  if (answer.status == 0) {
    std::fprintf(stderr, "millrace: %s\n", answer.body.c_str());
    return exit_bad_use;
  }
  if (json) std::fwrite(answer.body.data(), 1, answer.body.size(), stdout);
  if (answer.status != 200) {
    answer::Failure failure;
    const bool is_ours = answer::from_json(answer.body, &failure);
    if (!json) {
      std::fprintf(stderr, "millrace: %s\n",
                   is_ours ? failure.error().c_str() : "the answer is none of a control plane's");
    }
    return answer.status == 400 || !is_ours ? exit_bad_use : exit_no;
  }
  if (!answer::from_json(answer.body, message)) {
    std::fprintf(stderr, "millrace: the answer is none of a control plane's\n");
    return exit_bad_use;
  }
  return exit_fine;
}

}  // namespace millrace::cli
