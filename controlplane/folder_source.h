// A folder of manifests as a source of objects: Folder reads it, FolderWatch says when to.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "controlplane/manifests/folder.h"
#include "controlplane/manifests/folder_watch.h"
#include "controlplane/store/source.h"

namespace millrace {

class FolderSource final : public store::Source {
 public:
  // Opens the folder and reads it completely; the first turn() hands over what was read. A folder
  // without an object has not synced before it holds one, unless `allow_empty`. Error: it cannot be
  // read.
  static Result<std::unique_ptr<FolderSource>> open(const std::string& directory, bool allow_empty);

  int fd() const override { return watch_.fd(); }
  Instant due(Instant now) const override;
  void turn(Instant now, store::Store* store) override;
  bool has_synced() const override { return has_synced_; }
  std::vector<k8s::Problem> problems() const override { return problems_; }
  // The next turn takes the folder as it is.
  void accept_removals() override;
  std::string name() const override { return "folder " + folder_.directory(); }

 private:
  FolderSource(const std::string& directory, manifests::FolderWatch watch);

  void look(Instant now);
  void hand_over(store::Store* store);

  manifests::Folder folder_;
  manifests::FolderWatch watch_;
  std::vector<k8s::Problem> problems_;
  bool has_news_ = true;  // something was read that the store has not been told
  bool look_at_once_ = false;
  bool folder_is_lost_ = false;
  bool has_synced_ = false;  // the folder has held an object, or may be empty
  bool said_empty_ = false;
};

}  // namespace millrace
