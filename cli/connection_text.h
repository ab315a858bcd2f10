// A listing of connections as a table for people or as one JSON object for programs.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "shm/listing_format.h"

namespace millrace::cli {

struct ListingSummary {
  uint64_t listed = 0;   // records that came
  uint64_t matched = 0;  // of those, what the filters let through
  std::array<uint64_t, shm::connection_state_names.size()> by_state{};  // of the matched ones
  uint32_t time_wait = 0;  // in the data plane; they have no row
  bool is_complete = true;
};

std::string address_text(const shm::ConnectionRecord::Address& address);  // IPv4 as a dotted quad
std::string end_text(const shm::ConnectionRecord::Address& address, uint16_t port);

std::string table_head();
std::string table_row(const shm::ConnectionRecord& record);
std::string table_summary(const ListingSummary& summary);

// head, rows with separators between them, summary: together one object.
std::string json_head();
std::string json_separator();
std::string json_row(const shm::ConnectionRecord& record);
std::string json_summary(const ListingSummary& summary);

}  // namespace millrace::cli
