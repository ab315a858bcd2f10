#include "controlplane/manifests/folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <memory>
#include <optional>
#include <utility>

namespace millrace::manifests {

namespace {

using k8s::Object;
using k8s::Place;
using k8s::Problem;
using k8s::Severity;

int64_t to_ns(const timespec& at) {
  return int64_t{at.tv_sec} * 1'000'000'000 + at.tv_nsec;
}

std::string join(const std::string& directory, std::string_view name) {
  return directory.empty() ? std::string(name) : directory + '/' + std::string(name);
}

// The whole file, or a sentence.
Result<std::string> read_all(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return Error{std::strerror(errno)};
  std::string text;
  char buffer[64 * 1024];
  while (true) {
    const ssize_t got = read(fd, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      Error error{std::strerror(errno)};
      close(fd);
      return error;
    }
    if (got == 0) break;
    text.append(buffer, static_cast<size_t>(got));
    if (text.size() > file_bytes_max) {
      close(fd);
      return Error{"is larger than " + std::to_string(file_bytes_max >> 20) + " MiB"};
    }
  }
  close(fd);
  return text;
}

std::string count_of(size_t count, const char* one) {
  return std::to_string(count) + ' ' + one + (count == 1 ? "" : "s");
}

}  // namespace

bool is_manifest_name(std::string_view name) {
  return !name.empty() && name[0] != '.' &&
         (name.ends_with(".yaml") || name.ends_with(".yml") || name.ends_with(".json"));
}

Folder::Folder(std::string directory) : directory_(std::move(directory)) {
  while (directory_.size() > 1 && directory_.back() == '/') directory_.pop_back();
}

Folder::FileStamp Folder::stamp_of(const struct stat& status) {
  return FileStamp{status.st_dev, status.st_ino, status.st_size, to_ns(status.st_mtim),
                   to_ns(status.st_ctim)};
}

Status Folder::scan(const std::set<std::string>& touched, const std::set<std::string>& busy) {
  new_files_read_ahead_ = 0;
  Listing listing;
  const Status listed = list("", 0, &listing);
  struct stat folder {};
  if (!listed || stat(directory_.c_str(), &folder) != 0) {
    accept_removals_ = false;  // the operator's word was about a folder that could be seen
    if (!listed) return listed;
    return Error{directory_ + ": " + std::strerror(errno)};
  }
  listing.replaced = inode_ != 0 && (folder.st_dev != device_ || folder.st_ino != inode_);
  device_ = folder.st_dev;
  inode_ = folder.st_ino;
  for (const auto& [name, stamp] : listing.files) {
    auto known = files_.find(name);
    const bool is_known = known != files_.end();
    if (is_known) set_missing(name, false);
    if (busy.contains(name)) continue;
    if (is_known && known->second.stamp == stamp && !touched.contains(name)) continue;
    read_file(name, stamp);
  }
  remove_missing(listing);
  directories_ = std::move(listing.directories);
  listing_problems_ = std::move(listing.problems);
  return Ok{};
}

Status Folder::list(const std::string& relative, size_t depth, Listing* listing) const {
  const std::string path = relative.empty() ? directory_ : directory_ + '/' + relative;
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(opendir(path.c_str()), &closedir);
  if (directory == nullptr) {
    if (depth > 0 && errno == ENOENT) return Ok{};  // went between listing and opening
    if (depth == 0) return Error{path + ": " + std::strerror(errno)};
    // One directory that cannot be read stops nobody else's.
    cannot_see(relative, errno,
               "this directory cannot be read; anything read from it before is kept", listing);
    return Ok{};
  }
  listing->directories.push_back(relative);
  while (true) {
    errno = 0;
    const dirent* entry = readdir(directory.get());
    if (entry == nullptr) break;
    const Status status = list_entry(relative, entry->d_name, depth, listing);
    if (!status) return status;
  }
  if (errno != 0) return Error{path + ": " + std::strerror(errno)};
  return Ok{};
}

void Folder::cannot_see(const std::string& inside, int error, std::string_view what,
                        Listing* listing) {
  listing->problems.push_back(
      {Severity::error, Place{inside, 0}, "", std::string(what) + ": " + std::strerror(error)});
  listing->unseen.push_back(inside);
}

Status Folder::list_entry(const std::string& relative, std::string_view name, size_t depth,
                          Listing* listing) const {
  if (name.empty() || name[0] == '.') return Ok{};
  const std::string inside = join(relative, name);
  const std::string path = directory_ + '/' + inside;
  struct stat status {};
  if (lstat(path.c_str(), &status) != 0) {
    if (errno != ENOENT)
      cannot_see(inside, errno, "cannot be looked at; anything read from it before is kept",
                 listing);
    return Ok{};  // else it went meanwhile
  }
  if (S_ISDIR(status.st_mode)) {
    if (depth >= folder_depth_max || listing->directories.size() >= folder_directories_max) {
      listing->problems.push_back(
          {Severity::error, Place{inside, 0}, "",
           "this directory is not read: at most " + std::to_string(folder_depth_max) +
               " levels and " + std::to_string(folder_directories_max) + " directories are"});
      return Ok{};
    }
    return list(inside, depth + 1, listing);
  }
  if (!is_manifest_name(name)) return Ok{};
  if (S_ISLNK(status.st_mode) && stat(path.c_str(), &status) != 0) {
    cannot_see(inside, errno, "the link leads nowhere; anything read from it before is kept",
               listing);
    return Ok{};
  }
  if (!S_ISREG(status.st_mode)) return Ok{};
  if (listing->files.size() >= folder_files_max) {
    return Error{directory_ + ": more than " + std::to_string(folder_files_max) +
                 " manifest files"};
  }
  listing->files.emplace(inside, stamp_of(status));
  return Ok{};
}

void Folder::read_file(const std::string& name, const FileStamp& stamp) {
  const Result<std::string> text = read_all(directory_ + '/' + name);
  if (text) return take_file(name, stamp, parse_file(name, *text));
  files_[name].stamp = stamp;
  ParsedFile unreadable;
  unreadable.problems.push_back(
      {Severity::error, Place{name, 0}, "", "cannot be read: " + text.error()});
  keep_what_broke(name, std::move(unreadable));
}

void Folder::take_file(const std::string& name, const FileStamp& stamp, ParsedFile parsed) {
  files_[name].stamp = stamp;
  if (!parsed.holds_documents && !definitions_.of(name).empty()) {
    parsed.problems.push_back(
        {Severity::warning, Place{name, 0}, "", "is empty; delete the file to remove its objects"});
  }
  if (parsed.broken()) return keep_what_broke(name, std::move(parsed));
  const size_t count = parsed.objects.size();
  definitions_.set(name, std::move(parsed.objects), count);
  file_problems_.erase(name);
}

bool Folder::read_ahead(const std::string& name) {
  const auto known = files_.find(name);
  if (known == files_.end() ? files_.size() >= folder_files_max : known->second.missing) {
    return false;
  }
  const std::string path = directory_ + '/' + name;
  struct stat status {};
  if (stat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode) ||
      status.st_size > read_ahead_bytes_max) {
    return false;
  }
  // What held anything else before will again, most likely: it is parsed once, by the scan.
  for (const Object& object : definitions_.of(name)) {
    if (object.key.kind != k8s::Kind::endpoint_slice) return false;
  }
  if (known == files_.end() && new_files_read_ahead_++ >= new_files_read_ahead_max) return false;
  const Result<std::string> text = read_all(path);
  if (!text) return false;
  ParsedFile parsed = parse_file(name, *text);
  if (parsed.broken() || !parsed.holds_documents) return false;
  std::set<k8s::ObjectKey> defined;
  for (const Object& object : parsed.objects) {
    if (object.key.kind != k8s::Kind::endpoint_slice) return false;
    if (!definitions_.is_only_in(object.key, name)) return false;
    defined.insert(object.key);
  }
  for (const Object& object : definitions_.of(name)) {
    if (!defined.contains(object.key)) return false;
  }
  take_file(name, stamp_of(status), std::move(parsed));
  return true;
}

// The good documents count; of what the file held before, everything they do not define stays,
// because a broken document may be any of it.
void Folder::keep_what_broke(const std::string& name, ParsedFile parsed) {
  std::set<k8s::ObjectKey> defined;
  for (const Object& object : parsed.objects) defined.insert(object.key);
  std::vector<Object> kept;
  for (const Object& object : definitions_.of(name)) {
    if (!defined.contains(object.key)) kept.push_back(object);
  }
  std::string what = definitions_.of(name).empty()
                         ? "; nothing was read from it before, so nothing is kept of it"
                         : "; all that was read from it before stands in its other documents";
  if (!kept.empty()) {
    what = "; kept as last read: ";
    constexpr size_t named_max = 3;
    for (size_t i = 0; i < kept.size() && i < named_max; ++i) {
      what += (i > 0 ? ", " : "") + kept[i].key.text();
    }
    if (kept.size() > named_max)
      what += " and " + std::to_string(kept.size() - named_max) + " more";
  }
  for (Problem& problem : parsed.problems) {
    // Where the object is known, only its own fate is told.
    const bool is_kept = std::any_of(kept.begin(), kept.end(), [&](const Object& object) {
      return object.key.text() == problem.object;
    });
    const bool is_named = problem.object.find(' ') != std::string::npos;
    if (is_kept) {
      problem.sentence += "; its last good version is kept";
    } else if (is_named) {
      problem.sentence += "; no earlier version is known, so this object is left out";
    } else {
      problem.sentence += what;
    }
  }
  const size_t fresh_count = parsed.objects.size();
  std::move(kept.begin(), kept.end(), std::back_inserter(parsed.objects));
  definitions_.set(name, std::move(parsed.objects), fresh_count);
  file_problems_[name] = std::move(parsed.problems);
}

void Folder::set_missing(const std::string& name, bool missing) {
  files_[name].missing = missing;
  definitions_.set_missing(name, missing);
}

void Folder::remove_missing(const Listing& listing) {
  size_t present = 0;
  std::vector<std::string> gone;
  size_t gone_now = 0;
  for (const auto& [name, file] : files_) {
    if (listing.files.contains(name) || listing.hides(name)) {
      ++present;
      continue;
    }
    gone.push_back(name);
    if (!file.missing) ++gone_now;
  }
  // Another folder in the place of the one that was read (a mount that went or came) is believed no
  // more than many files gone at once.
  const bool implausible =
      (gone_now > 1 || (gone_now > 0 && listing.replaced)) && present * 10 < present + gone.size();
  for (const std::string& name : gone) {
    if (!accept_removals_ && (files_[name].missing || implausible)) {
      set_missing(name, true);
    } else {
      files_.erase(name);
      definitions_.remove(name);
      file_problems_.erase(name);
    }
  }
  accept_removals_ = false;
}

FolderNews Folder::take_news() {
  FolderNews news;
  for (const k8s::ObjectKey& key : definitions_.take_changed()) {
    const Object* object = definitions_.find(key);
    if (object == nullptr) {
      news.gone.push_back(key);
    } else {
      news.objects.push_back(*object);
    }
  }
  news.problems = problems();
  return news;
}

std::vector<Problem> Folder::problems() const {
  k8s::ProblemList problems;
  for (const Problem& problem : listing_problems_) problems.add(problem);
  for (const auto& [name, of_file] : file_problems_) {
    for (const Problem& problem : of_file) problems.add(problem);
  }
  definitions_.tell_contested(&problems);
  if (const size_t missing = definitions_.missing_count(); missing > 0) {
    problems.add({Severity::error, Place{}, "",
                  count_of(missing, "manifest file") + " of " + std::to_string(files_.size()) +
                      " disappeared from " + directory_ +
                      " at once; their objects are kept until the files come back (to accept the "
                      "removal, send SIGHUP)"});
  }
  return problems.take();
}

}  // namespace millrace::manifests
