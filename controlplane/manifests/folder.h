// A folder of manifests as one set of objects, which survives what happens to folders.
//
// What is read: *.yaml, *.yml and *.json below the folder, sub-directories included; names that
// begin with '.' are skipped (editors' temporary files, the "..data" of a mounted ConfigMap).
// Symbolic links to files are followed, links to directories are not.
//
// What is kept, so that a mistake costs one object and not the others:
// - A file that cannot be read, or of which a document is broken, keeps every object it held before
//   that its good documents do not define anew. It is a problem until it is mended.
// - A file cut to nothing keeps its objects too: writers truncate first. Delete the file to remove
//   them.
// - A folder that has vanished keeps everything.
// - When more than one file disappears in one look and fewer than a tenth of the files is left, the
//   missing ones are kept until they come back or accept_removals() is called. Files that are
//   deleted one by one are believed, the last one too.
//
// The same object in two files: the one whose file name comes first in byte order counts, in one
// file the first document (definitions.h).
#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "controlplane/k8s/object.h"
#include "controlplane/k8s/problem.h"
#include "controlplane/manifests/definitions.h"
#include "controlplane/manifests/file.h"

namespace millrace::manifests {

constexpr size_t folder_files_max = 100'000;
constexpr size_t folder_directories_max = 1'000;  // an inotify watch each
constexpr size_t folder_depth_max = 8;
// What is looked at ahead of a scan is read twice if it has to wait after all.
constexpr int64_t read_ahead_bytes_max = 1 << 20;
constexpr size_t new_files_read_ahead_max = 64;  // between two scans

// What may be another one than when it was told the last time, by key; and all problems.
struct FolderNews {
  std::vector<k8s::Object> objects;
  std::vector<k8s::ObjectKey> gone;  // there may never have been one
  std::vector<k8s::Problem> problems;
};

bool is_manifest_name(std::string_view name);  // of a file, without its directories

class Folder {
 public:
  explicit Folder(std::string directory);

  // Looks through the whole folder and reads the files that changed since the last look. `touched`
  // names files (relative) to read even if their size and times stand still, `busy` files that a
  // writer has open: their last version stays. Fails only when the folder cannot be listed; then
  // nothing has changed.
  Status scan(const std::set<std::string>& touched, const std::set<std::string>& busy);

  // Reads this one file ahead of the next scan, if it holds nothing but EndpointSlices and by
  // itself can take nothing away from anybody: it is whole, still defines all that it did, and what
  // it defines is in no other file. True when it was read; else the file waits for the scan. For a
  // file that its writer has finished. Where machines are has nothing to do with what else is
  // edited; other objects belong together, and are read together when the folder is quiet.
  bool read_ahead(const std::string& name);

  // The next scan believes every removal: the operator's word (SIGHUP, --allow-empty).
  void accept_removals() { accept_removals_ = true; }

  FolderNews take_news();
  const std::string& directory() const { return directory_; }
  // Directories of the last scan, relative; "" is the folder itself. For watches.
  const std::vector<std::string>& directories() const { return directories_; }

 private:
  // What tells one version of a file from the next.
  struct FileStamp {
    uint64_t device = 0;
    uint64_t inode = 0;
    int64_t bytes = 0;
    int64_t modified_ns = 0;
    int64_t changed_ns = 0;
    bool operator==(const FileStamp&) const = default;
  };
  struct File {
    FileStamp stamp;
    bool missing = false;  // gone from the folder, kept by the guard
  };
  struct Listing {
    std::map<std::string, FileStamp> files;
    std::vector<std::string> directories;
    std::vector<k8s::Problem> problems;
    std::vector<std::string> unseen;  // there, but not to be read: files and directories
    bool replaced = false;            // the folder is another one than at the last scan
    // Whether a file may be behind something unseen.
    bool hides(const std::string& file) const {
      for (const std::string& path : unseen) {
        if (file == path || file.rfind(path + '/', 0) == 0) return true;
      }
      return false;
    }
  };

  Status list(const std::string& relative, size_t depth, Listing* listing) const;
  Status list_entry(const std::string& relative, std::string_view name, size_t depth,
                    Listing* listing) const;
  static void cannot_see(const std::string& inside, int error, std::string_view what,
                         Listing* listing);
  void read_file(const std::string& name, const FileStamp& stamp);
  void take_file(const std::string& name, const FileStamp& stamp, ParsedFile parsed);
  void keep_what_broke(const std::string& name, ParsedFile parsed);
  void remove_missing(const Listing& listing);
  void set_missing(const std::string& name, bool missing);
  std::vector<k8s::Problem> problems() const;
  static FileStamp stamp_of(const struct stat& status);

  std::string directory_;
  std::map<std::string, File> files_;  // by name relative to the folder
  Definitions definitions_;            // of the same names
  std::map<std::string, std::vector<k8s::Problem>> file_problems_;  // of those that have any
  std::vector<std::string> directories_;
  std::vector<k8s::Problem> listing_problems_;
  bool accept_removals_ = false;
  size_t new_files_read_ahead_ = 0;  // since the last scan
  uint64_t device_ = 0;              // of the folder at the last scan; 0 before the first
  uint64_t inode_ = 0;
};

}  // namespace millrace::manifests
