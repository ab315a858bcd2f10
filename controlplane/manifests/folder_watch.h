// Tells when a folder of manifests has changed and is quiet again.
//
// Changes come in bursts: an editor writes a temporary file, renames, writes again; kubectl and git
// touch many files. So a look at the folder waits until nothing has happened for quiet_time, but
// never longer than quiet_time_max after the first change. A single file that was finished in one
// step can be asked for before that (take_finished). A file that a writer has opened and
// changed but not closed is "busy" and not read before it is closed, or before busy_time_max.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/time.h"

namespace millrace::manifests {

constexpr Duration quiet_time = Duration::milliseconds(75);
constexpr Duration quiet_time_max = Duration::milliseconds(500);
constexpr Duration busy_time_max = Duration::seconds(2);
// A folder that has vanished is looked for this often.
constexpr Duration lost_folder_retry = Duration::seconds(1);

// When to look: the hold-off as arithmetic, without a clock.
class HoldOff {
 public:
  void changed(Instant now);
  bool pending() const { return first_ != Instant::never(); }
  // When the next look is due; Instant::never() when nothing changed.
  Instant due() const;
  void looked() { first_ = last_ = Instant::never(); }

 private:
  Instant first_ = Instant::never();
  Instant last_ = Instant::never();
};

class FolderWatch {
 public:
  // Makes the inotify instance; the folder itself is watched from the first rewatch() on.
  static Result<FolderWatch> create(std::string directory);

  FolderWatch(FolderWatch&& other) noexcept;
  FolderWatch& operator=(FolderWatch&&) = delete;
  ~FolderWatch();

  int fd() const { return fd_; }  // readable when there are events

  // Takes all waiting events.
  void read_events(Instant now);

  // Watches these directories (relative, "" is the folder) besides those it watches already. To be
  // called before the folder is listed and after: what is created between is then seen by one or
  // the other. Directories that cannot be watched are looked at again later.
  void rewatch(const std::vector<std::string>& directories, Instant now);

  // Files that a writer has finished since this was asked: closed, or renamed into place. They are
  // told as touched as well, unless somebody says that they have been read.
  std::set<std::string> take_finished() { return std::exchange(finished_, {}); }
  void was_read(const std::string& file) { touched_.erase(file); }

  // When the folder wants a look, or Instant::never().
  Instant due(Instant now) const;

  // What to hand to Folder::scan; forgets what was collected.
  struct Changes {
    std::set<std::string> touched;  // files, relative
    std::set<std::string> busy;     // open for writing, not to be read yet
  };
  Changes take_changes(Instant now);
  // The look at these changes failed: they count as not looked at, and due() comes again soon.
  void look_again(const std::set<std::string>& touched, Instant now);

  // False from the moment the folder itself was deleted, moved or unmounted until it is watched
  // again.
  bool has_folder() const { return !lost_; }

 private:
  FolderWatch(int fd, std::string directory);
  void take_event(int watch, uint32_t mask, const std::string& name, Instant now);

  int fd_;
  std::string directory_;
  HoldOff hold_off_;
  std::map<int, std::string> watches_;      // watch descriptor -> directory, relative
  std::map<std::string, Instant> writing_;  // file -> when its writer was first seen
  std::set<std::string> touched_;
  std::set<std::string> finished_;
  bool lost_ = true;
  int root_watch_ = -1;  // of the folder itself, the one that counts now
  Instant retry_at_;     // while lost
};

}  // namespace millrace::manifests
