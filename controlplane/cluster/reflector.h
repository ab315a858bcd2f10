// One kind of object of the cluster (of one namespace, or of all) kept equal to what the API server
// has: list, then watch, for ever. Does no I/O and reads no clock: it says which request is wanted,
// is told what comes of it, and writes the store. So every fault of a server can be played to it.
//
// - The list comes in pages, or at the head of a watch where the server can do that (a "watch
//   list", KEP-3157). Until it is whole the store keeps what it has.
// - A watch that ends is taken up at the last resourceVersion seen, bookmarks included, without a
//   new list. resourceVersion is opaque: it is handed back, never compared for order.
// - 410 Gone, as an HTTP status or as an error inside the stream, means a new list.
// - A list asks for the most recent state (no resourceVersion), which a server answers from a
// quorum:
//   one that lags cannot take the view back in time.
// - Failures wait: backoff_first doubling to backoff_last, with jitter; a server's Retry-After is
//   kept if it is longer.
// - So do new lists that a watch makes necessary (410, a stream that cannot be read, a
//   resourceVersion that the server does not take): their pause is at its beginning again only
//   behind a watch of backoff_last, so a server that refuses every watch is not asked for
//   everything again and again.
// - A list that has lost nearly everything is asked for again, shrink_confirmations times and
//   shrink_pause apart, before it is believed: an API server with an empty cache, or the wrong
//   cluster, looks like that.
// - Every relist_interval the kind is listed anew, so that whatever a server has failed to tell is
//   mended within that time.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "base/time.h"
#include "controlplane/cluster/backoff.h"
#include "controlplane/cluster/decode.h"
#include "controlplane/cluster/resource.h"
#include "controlplane/k8s/object.h"
#include "controlplane/k8s/problem.h"
#include "controlplane/store/store.h"

namespace millrace::cluster {

constexpr Duration backoff_first = Duration::milliseconds(200);
constexpr Duration backoff_last = Duration::seconds(30);
// A Secret that may not be read is asked for less and less often, down to this: its name is
// whatever an Ingress says, and a thousand of them would be asked for for ever.
constexpr Duration denied_backoff_last = Duration::seconds(300);
constexpr Duration relist_interval = Duration::seconds(1'800);
// A watch that lasted at least this long and then ended in order is taken up almost at once.
constexpr Duration watch_time_min = Duration::seconds(1);
// What the server is asked to end a watch after; between this and twice as much.
constexpr int watch_seconds_usual = 300;
// Pages of one list; what has more never ends.
constexpr int list_pages_max = 10'000;
// Nothing came for so long: the answer is given up. A watch hears a bookmark about once a minute.
constexpr Duration list_silence_max = Duration::seconds(30);
constexpr Duration watch_silence_max = Duration::seconds(150);
// A page, or the list at the head of a watch, that is not whole after this is given up, however
// steadily it drips.
constexpr Duration list_time_max = Duration::seconds(120);
// A server may ask for more patience than backoff_last, up to this.
constexpr Duration retry_after_max = Duration::seconds(120);
// After so many refusals in a row that say that the watch is wrong, not the server busy, or when a
// new list is due anyway, everything is listed anew.
constexpr int watch_refusals_max = 5;
// After so many failures in a row at the head of a watch the list is asked for by pages.
constexpr int watch_list_failures_max = 3;
// A relist that holds fewer than a tenth of at least shrink_objects_min objects is implausible.
constexpr size_t shrink_objects_min = 10;
constexpr int shrink_confirmations = 3;
constexpr Duration shrink_pause = Duration::seconds(10);
constexpr size_t reflector_problems_max = 100;

struct ReflectorRequest {
  std::string target;     // path and query
  bool is_watch = false;  // its answer has no end of its own
};

class Reflector {
 public:
  Reflector(Resource resource, uint64_t seed, int watch_seconds = watch_seconds_usual);
  ~Reflector() { drop_page(); }
  Reflector(const Reflector&) = delete;
  Reflector& operator=(const Reflector&) = delete;

  const Resource& resource() const { return resource_; }

  // The next request, when one is due; between it and its end() none is.
  std::optional<ReflectorRequest> start(Instant now);
  // When start() has something, or when the answer under way has been silent for too long and is to
  // be ended with a failure.
  Instant due() const { return due_; }
  bool is_silent(Instant now) const { return is_under_way_ && now >= due_; }

  // The answer to it, in this order. False: the rest is not wanted, the transfer may be ended (and
  // end() be called).
  bool head(int http_status, std::string_view content_type, std::optional<Duration> retry_after,
            Instant now);
  bool body(std::string_view bytes, Instant now, store::Store* store);
  // `failure`: why there was no answer, or not a whole one; nothing for an orderly end.
  void end(const std::optional<std::string>& failure, Instant now, store::Store* store);
  // Instead of end(), for an answer that is_silent().
  void give_up(Instant now, store::Store* store);

  bool has_synced() const { return has_synced_; }
  // The last failure, until something works again; and objects that could not be read.
  std::vector<k8s::Problem> problems() const;
  const std::string& failure() const { return failure_; }
  // Lists come by pages from now on: the server is known not to do it at the head of a watch.
  void lists_by_pages() {
    can_watch_list_ = false;
    if (step_ == Step::watch_list && !is_under_way_) step_ = Step::list;
  }
  // A small list that is doubted now is asked for at once and believed.
  void accept_removals();

  // For metrics and tests.
  struct Counts {
    uint64_t lists = 0;  // begun: by pages or at the head of a watch
    uint64_t watches = 0;
    uint64_t events = 0;
    uint64_t gone = 0;  // 410
    uint64_t failures = 0;
    uint64_t shrinks_doubted = 0;
  };
  const Counts& counts() const { return counts_; }

 private:
  enum class Step {
    list,        // a page of a list
    watch_list,  // a watch that begins with the list
    watch,
  };

  std::string next_target();
  void begin_list();
  bool take_event(DecodedEvent event, Instant now, store::Store* store);
  void take_object(DecodedEvent event, store::Store* store);
  void take_refusal(const Status& status, Instant now);
  void take_page(Instant now, store::Store* store);
  bool holds_secrets() const { return resource_.kind == k8s::Kind::secret; }
  void drop_page();
  void finish_list(Instant now, store::Store* store);
  bool is_doubted(size_t held) const;
  void replace_all(store::Store* store);
  void note_stranger(const k8s::ObjectKey& key);
  void list_anew(Instant when);
  void list_behind_watch(Instant now);
  void end_watch(Instant now);
  void works();
  void fail(std::string sentence, Instant now);
  Duration patient(Duration pause) const;
  Instant answer_due(Instant now) const;
  void note(k8s::Problem problem);
  size_t held(const store::Store& store) const;

  const Resource resource_;
  const int watch_seconds_;
  Random random_;
  Step step_ = Step::watch_list;
  Instant due_;  // at once at first
  bool is_under_way_ = false;
  Instant began_;
  Instant relist_due_ = Instant::never();
  Backoff backoff_{backoff_first, backoff_last};
  Backoff denied_backoff_{backoff_first, denied_backoff_last};  // of a Secret
  Backoff list_backoff_{backoff_first, backoff_last};  // of lists that a watch made necessary
  std::optional<Duration> retry_after_;  // what the server asked for with the answer under way

  // Of the answer that is coming.
  int http_status_ = 0;
  std::optional<Encoding> encoding_;
  std::string page_;  // a page of a list, or a refusal
  std::optional<WatchDecoder> decoder_;
  bool is_settled_ = false;  // what comes next is decided; the rest of the answer is not wanted

  std::map<k8s::ObjectKey, k8s::Object> listed_;  // of a list that is not yet whole
  std::string continue_token_;
  int pages_ = 0;
  std::string resource_version_;  // where a watch takes up
  bool can_watch_list_ = true;
  bool in_pages_ =
      true;  // the list; whole where the server forgets pages before they are asked for
  bool has_synced_ = false;
  bool accept_removals_ = false;
  int doubts_ = 0;               // small lists in a row
  int watch_refusals_ = 0;       // in a row
  int watch_list_failures_ = 0;  // in a row
  int short_watches_ = 0;        // in a row; they began and ended before watch_time_min

  std::string failure_;  // the last one, until something works again
  // What could not be read since the last list began, each sentence once; bounded.
  std::vector<k8s::Problem> problems_;
  Counts counts_;
};

}  // namespace millrace::cluster
