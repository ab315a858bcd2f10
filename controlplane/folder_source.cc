#include "controlplane/folder_source.h"

#include <spdlog/spdlog.h>

#include <utility>

namespace millrace {

FolderSource::FolderSource(const std::string& directory, manifests::FolderWatch watch)
    : folder_(directory), watch_(std::move(watch)) {}

Result<std::unique_ptr<FolderSource>> FolderSource::open(const std::string& directory,
                                                         bool allow_empty) {
  auto watch = manifests::FolderWatch::create(directory);
  if (!watch) return Error{watch.error()};
  std::unique_ptr<FolderSource> source(new FolderSource(directory, std::move(*watch)));
  const Instant now = MonotonicClock().now();
  // Watched first, listed then: what changes between is seen by one of the two.
  source->watch_.rewatch({""}, now);
  if (allow_empty) source->folder_.accept_removals();
  source->has_synced_ = allow_empty;
  const Status scanned = source->folder_.scan({}, {});
  if (!scanned) return Error{"cannot read the manifests: " + scanned.error()};
  source->watch_.rewatch(source->folder_.directories(), now);
  return source;
}

Instant FolderSource::due(Instant now) const {
  return has_news_ || look_at_once_ ? now : watch_.due(now);
}

void FolderSource::turn(Instant now, store::Store* store) {
  watch_.read_events(now);
  for (const std::string& file : watch_.take_finished()) {
    // Slices alone are not what an empty folder waits for.
    if (!has_synced_ || !folder_.read_ahead(file)) continue;
    watch_.was_read(file);
    has_news_ = true;
  }
  if (look_at_once_ || now >= watch_.due(now)) look(now);
  if (has_news_) hand_over(store);
}

// Reads what changed. A folder that cannot be read changes nothing.
void FolderSource::look(Instant now) {
  look_at_once_ = false;
  const manifests::FolderWatch::Changes changes = watch_.take_changes(now);
  watch_.rewatch({""}, now);
  const Status scanned = folder_.scan(changes.touched, changes.busy);
  if (!scanned) {
    if (!folder_is_lost_) {
      spdlog::error("{}; the table stays as it is until the folder is back", scanned.error());
    }
    folder_is_lost_ = true;
    watch_.look_again(changes.touched, now);
    return;
  }
  if (folder_is_lost_) spdlog::info("{} is back", folder_.directory());
  folder_is_lost_ = false;
  watch_.rewatch(folder_.directories(), now);
  has_news_ = true;
}

void FolderSource::hand_over(store::Store* store) {
  has_news_ = false;
  manifests::FolderNews news = folder_.take_news();
  problems_ = std::move(news.problems);
  for (k8s::Object& object : news.objects) store->put(std::move(object));
  for (const k8s::ObjectKey& key : news.gone) store->remove(key);
  has_synced_ |= !store->empty();
  if (!has_synced_ && !std::exchange(said_empty_, true)) {
    spdlog::warn(
        "{} holds no objects; nothing is published before it does (to publish an empty table, use "
        "--allow-empty)",
        folder_.directory());
  }
}

void FolderSource::accept_removals() {
  folder_.accept_removals();
  has_synced_ = true;
  look_at_once_ = true;
}

}  // namespace millrace
