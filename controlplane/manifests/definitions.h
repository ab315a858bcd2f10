// What the files of a folder define, and which definition of an object counts where several files
// have one. A change of a file costs what the file holds, not what the folder holds.
//
// What a file says now counts before what is kept of another one: an object that moved from a file
// that is broken or gone is what it is where it stands. Of several that are said now, or of several
// that are kept, the one whose file name comes first in byte order counts; in one file the first.
#pragma once

#include <cstddef>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "controlplane/k8s/object.h"
#include "controlplane/k8s/problem.h"

namespace millrace::manifests {

class Definitions {
 public:
  Definitions() = default;
  Definitions(const Definitions&) = delete;  // the index holds addresses of its own map
  Definitions& operator=(const Definitions&) = delete;

  // The file is there and holds these: the first `fresh_count` it says now, the others are kept of
  // what it said before.
  void set(const std::string& file, std::vector<k8s::Object> objects, size_t fresh_count);
  // A missing file is gone from the folder and nevertheless not believed to be: all of it is kept.
  void set_missing(const std::string& file, bool missing);
  void remove(const std::string& file);

  // What the file holds; empty for one that is not known.
  const std::vector<k8s::Object>& of(const std::string& file) const;
  size_t missing_count() const { return missing_count_; }

  // The definition that counts; null when there is none. Valid until the next change.
  const k8s::Object* find(const k8s::ObjectKey& key) const;
  bool is_only_in(const k8s::ObjectKey& key, const std::string& file) const;
  // Keys whose definition may be another one, or none, since this was asked.
  std::set<k8s::ObjectKey> take_changed();
  // Definitions that are said now and do not count, because an earlier one is said too.
  void tell_contested(k8s::ProblemList* problems) const;

 private:
  struct File {
    std::vector<k8s::Object> objects;
    size_t fresh_count = 0;
    bool missing = false;
  };
  using Entry = std::map<std::string, File>::value_type;
  // One definition: which object of which file.
  struct Definition {
    const Entry* file;
    size_t index;
    const k8s::Object& object() const { return file->second.objects[index]; }
    bool is_said_now() const { return !file->second.missing && index < file->second.fresh_count; }
  };
  using AllOfKey = std::vector<Definition>;  // by name of file, then as they stand in it

  void add(const Entry& file);
  void take_out(const Entry& file);
  void note(const k8s::ObjectKey& key, const AllOfKey* all);

  std::map<std::string, File> files_;
  std::map<k8s::ObjectKey, AllOfKey> by_key_;
  std::set<k8s::ObjectKey> contested_;  // keys that are said now more than once
  std::set<k8s::ObjectKey> changed_;
  size_t missing_count_ = 0;
};

}  // namespace millrace::manifests
