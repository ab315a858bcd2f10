#include "controlplane/manifests/folder_watch.h"

#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "controlplane/manifests/folder.h"

namespace millrace::manifests {

namespace {

constexpr uint32_t watched_events = IN_CREATE | IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB |
                                    IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE | IN_DELETE_SELF |
                                    IN_MOVE_SELF | IN_ONLYDIR;

// Editors' swap files change all the time; the "..data" link of a mounted ConfigMap is how its
// files change.
bool matters(const std::string& name) {
  return name[0] != '.' || name.starts_with("..");
}

}  // namespace

void HoldOff::changed(Instant now) {
  if (!pending()) first_ = now;
  last_ = now;
}

Instant HoldOff::due() const {
  if (!pending()) return Instant::never();
  return std::min(last_ + quiet_time, first_ + quiet_time_max);
}

Result<FolderWatch> FolderWatch::create(std::string directory) {
  const int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  if (fd < 0) return Error{std::string("inotify: ") + std::strerror(errno)};
  return FolderWatch(fd, std::move(directory));
}

FolderWatch::FolderWatch(int fd, std::string directory)
    : fd_(fd), directory_(std::move(directory)) {}

FolderWatch::FolderWatch(FolderWatch&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      directory_(std::move(other.directory_)),
      hold_off_(other.hold_off_),
      watches_(std::move(other.watches_)),
      writing_(std::move(other.writing_)),
      touched_(std::move(other.touched_)),
      finished_(std::move(other.finished_)),
      lost_(other.lost_),
      retry_at_(other.retry_at_) {}

FolderWatch::~FolderWatch() {
  if (fd_ >= 0) close(fd_);
}

void FolderWatch::read_events(Instant now) {
  alignas(inotify_event) char buffer[16 * 1024];
  while (true) {
    const ssize_t got = read(fd_, buffer, sizeof buffer);
    if (got <= 0) return;  // nothing more
    const char* at = buffer;
    const char* end = buffer + got;
    while (at < end) {
      inotify_event event;
      std::memcpy(&event, at, sizeof event);
      const std::string name = event.len > 0 ? std::string(at + sizeof event) : std::string();
      take_event(event.wd, event.mask, name, now);
      at += sizeof event + event.len;
    }
  }
}

void FolderWatch::take_event(int watch, uint32_t mask, const std::string& name, Instant now) {
  if ((mask & IN_Q_OVERFLOW) != 0) {  // events were lost: look at everything
    writing_.clear();
    return hold_off_.changed(now);
  }
  const auto found = watches_.find(watch);
  if (found == watches_.end()) return;
  const std::string directory = found->second;
  if ((mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_IGNORED)) != 0) {
    if ((mask & IN_MOVE_SELF) != 0) inotify_rm_watch(fd_, watch);
    watches_.erase(found);
    // A link that was turned leaves an older folder behind: only the end of the one that is watched
    // now is a loss.
    if (watch == root_watch_) {
      lost_ = true;
      retry_at_ = now + lost_folder_retry;
    }
    return hold_off_.changed(now);
  }
  if (name.empty() || !matters(name)) return;
  if ((mask & IN_ISDIR) == 0 && is_manifest_name(name)) {
    const std::string file = directory.empty() ? name : directory + '/' + name;
    touched_.insert(file);
    if ((mask & IN_MODIFY) != 0) {
      writing_.emplace(file, now);
    } else if ((mask & (IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE)) != 0) {
      writing_.erase(file);
    }
    if ((mask & (IN_CLOSE_WRITE | IN_MOVED_TO)) != 0) {
      finished_.insert(file);
    } else if ((mask & IN_ATTRIB) == 0) {
      finished_.erase(file);
    }
  }
  hold_off_.changed(now);
}

void FolderWatch::rewatch(const std::vector<std::string>& directories, Instant now) {
  for (const std::string& directory : directories) {
    const std::string path = directory.empty() ? directory_ : directory_ + '/' + directory;
    const int watch = inotify_add_watch(fd_, path.c_str(), watched_events);
    if (watch < 0) {
      if (directory.empty()) {
        lost_ = true;
        retry_at_ = now + lost_folder_retry;
      }
      continue;
    }
    if (directory.empty()) {
      root_watch_ = watch;
      lost_ = false;
    }
    const auto [at, is_new] = watches_.insert_or_assign(watch, directory);
    // What happened in it before the watch stood gave no event.
    if (is_new) hold_off_.changed(now);
  }
}

void FolderWatch::look_again(const std::set<std::string>& touched, Instant now) {
  touched_.insert(touched.begin(), touched.end());
  lost_ = true;
  retry_at_ = now + lost_folder_retry;
}

Instant FolderWatch::due(Instant now) const {
  if (lost_) return retry_at_;
  Instant due = hold_off_.due();
  // A file whose writer never closed it is read in the end.
  for (const auto& [file, since] : writing_)
    due = std::min(due, std::max(now, since + busy_time_max));
  return due;
}

FolderWatch::Changes FolderWatch::take_changes(Instant now) {
  Changes changes;
  changes.touched = std::exchange(touched_, {});
  hold_off_.looked();
  for (auto at = writing_.begin(); at != writing_.end();) {
    if (now >= at->second + busy_time_max) {
      changes.touched.insert(at->first);
      at = writing_.erase(at);
    } else {
      changes.busy.insert(at->first);
      ++at;
    }
  }
  // Not read now, so to be read after it is closed even if its times look the same.
  for (const std::string& file : changes.busy) touched_.insert(file);
  return changes;
}

}  // namespace millrace::manifests
