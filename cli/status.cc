#include "cli/status.h"

#include <cstdio>

#include "cli/api_client.h"
#include "cli/diff.h"
#include "cli/text.h"
#include "controlplane/answers/answers.pb.h"

namespace millrace::cli {

namespace {

bool is_well(const answer::Status& status) {
  return status.source().synced() && status.published().version() != 0 &&
         status.data_plane().up_to_date() && !status.held_back().holding() &&
         status.history().writing();
}

std::string data_plane_text(const answer::Status::DataPlane& data_plane) {
  if (!data_plane.connected()) return "not there";
  std::string text =
      format("has version %.0f, epoch %.0f", data_plane.version(), data_plane.epoch());
  if (!data_plane.refusal().empty()) return text + "; " + data_plane.refusal();
  return text + (data_plane.up_to_date() ? "" : " and is given the newest one");
}

std::string hold_text(const answer::Status::Hold& hold) {
  std::string text;
  if (hold.pinned_version() != 0) {
    text = format("routes pinned to version %.0f since %s (millrace release)",
                  hold.pinned_version(), hold.pinned_time().c_str());
    if (hold.guard_bad_version() != 0) {
      text += format("; the data plane went back from version %.0f by itself: %s",
                     hold.guard_bad_version(), hold.guard_sentence().c_str());
    }
  }
  if (hold.frozen()) {
    if (!text.empty()) text += "; ";
    text += format("version %.0f frozen since %s%s (millrace unfreeze)", hold.frozen_version(),
                   hold.frozen_time().c_str(), hold.endpoints_frozen() ? ", endpoints too" : "");
  }
  return text.empty() ? "nothing is pinned or frozen" : text;
}

std::string text_of(const answer::Status& status) {
  const answer::Status::Published& table = status.published();
  std::string text = format("source      %s, %u objects%s\n", status.source().name().c_str(),
                            status.source().objects(),
                            status.source().synced() ? "" : "; not read completely yet");
  text += table.version() == 0
              ? "published   nothing yet\n"
              : format("published   version %.0f, hash %s: %u hosts, %u routes, %u endpoints\n",
                       table.version(), table.content_hash().c_str(), table.hosts(), table.routes(),
                       table.endpoints());
  text += "data plane  " + data_plane_text(status.data_plane()) + '\n';
  text += "held        " + hold_text(status.hold()) + '\n';
  if (status.held_back().holding()) {
    text += format("guard       %u of %u looks: ", status.held_back().confirmed(),
                   status.held_back().confirmations()) +
            status.held_back().sentence() + '\n';
  }
  if (status.waiting().objects() > 0) {
    text += format(
        "queued      %u objects, %u routes and %u services differ (millrace diff live "
        "queued)\n",
        status.waiting().objects(), status.waiting().routes_changed(),
        status.waiting().services_changed());
    for (const record::Cause& cause : status.waiting().causes()) {
      text += "            " + cause_text(cause) + '\n';
    }
  }
  const answer::Status::History& history = status.history();
  text += format("history     %u versions, %.0f to %.0f, %.1f MB in %s%s\n", history.versions(),
                 history.oldest(), history.newest(), history.bytes() / 1e6,
                 history.folder().empty() ? "memory only" : history.folder().c_str(),
                 history.writing() ? "" : "; CANNOT BE WRITTEN");
  text += format("problems    %u errors, %u warnings, %u notes\n", status.errors(),
                 status.warnings(), status.notes());
  for (const answer::Problem& problem : status.problems()) {
    text += "            " + problem_text(problem) + '\n';
  }
  return text;
}

}  // namespace

int run_status(const std::string& folder, bool json) {
  answer::Status status;
  const int code = ask({folder, "GET", "/v1/status"}, json, &status);
  if (code != exit_fine) return code;
  if (!json) std::fputs(text_of(status).c_str(), stdout);
  return is_well(status) ? exit_fine : exit_no;
}

}  // namespace millrace::cli
