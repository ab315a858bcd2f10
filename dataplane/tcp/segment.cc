#include "dataplane/tcp/segment.h"

#include <algorithm>

namespace millrace::tcp {
namespace {

// Option kinds (IANA "TCP Option Kind Numbers").
constexpr uint8_t kind_end = 0;
constexpr uint8_t kind_no_operation = 1;
constexpr uint8_t kind_mss = 2;
constexpr uint8_t kind_window_scale = 3;
constexpr uint8_t kind_sack_permitted = 4;
constexpr uint8_t kind_sack = 5;
constexpr uint8_t kind_timestamps = 8;
constexpr size_t sack_block_bytes = 8;
constexpr uint8_t window_scale_max = 14;  // RFC 7323 section 2.3

// value: behind kind and length. A length that is no number of whole blocks says nothing.
void parse_sack(const uint8_t* value, size_t octets, Options& options) {
  const size_t count = octets / sack_block_bytes;
  if (count == 0 || count > sack_blocks_max || octets % sack_block_bytes != 0) return;
  options.sack_count = static_cast<uint8_t>(count);
  for (size_t i = 0; i < count; ++i) {
    const uint8_t* block = value + i * sack_block_bytes;
    options.sack[i] = {Seq(load_be32(block)), Seq(load_be32(block + 4))};
  }
}

bool parse_options(ByteView bytes, Options& options) {
  size_t at = 0;
  while (at < bytes.size()) {
    const uint8_t kind = bytes[at];
    if (kind == kind_end) return true;
    if (kind == kind_no_operation) {
      ++at;
      continue;
    }
    if (at + 1 >= bytes.size()) return false;
    const size_t length = bytes[at + 1];
    if (length < 2 || length > bytes.size() - at) return false;
    const uint8_t* value = bytes.data() + at + 2;
    if (kind == kind_mss && length == 4) {
      options.has_mss = true;
      options.mss = load_be16(value);
    } else if (kind == kind_window_scale && length == 3) {
      options.has_window_scale = true;
      options.window_scale = std::min(value[0], window_scale_max);
    } else if (kind == kind_timestamps && length == 10) {
      options.has_timestamps = true;
      options.timestamp_value = load_be32(value);
      options.timestamp_echo = load_be32(value + 4);
    } else if (kind == kind_sack_permitted && length == 2) {
      options.sack_permitted = true;
    } else if (kind == kind_sack) {
      parse_sack(value, length - 2, options);
    }
    at += length;
  }
  return true;
}

}  // namespace

bool parse_segment_into(Segment* segment, ByteView bytes, SegmentError* error) {
  const auto bad = [error](SegmentError reason) {
    *error = reason;
    return false;
  };
  if (bytes.size() < header_bytes_min) return bad(SegmentError::truncated);
  const uint8_t* at = bytes.data();
  const size_t header = size_t{at[12]} >> 4 << 2;
  if (header < header_bytes_min || header > bytes.size()) return bad(SegmentError::bad_data_offset);
  segment->source_port = load_be16(at);
  segment->destination_port = load_be16(at + 2);
  // Port 0 is reserved (RFC 6335 section 6): nothing legitimate comes from or goes to it.
  if (segment->source_port == 0 || segment->destination_port == 0)
    return bad(SegmentError::bad_port);
  segment->seq = Seq(load_be32(at + 4));
  segment->ack = Seq(load_be32(at + 8));
  segment->flags = at[13];
  segment->window = load_be16(at + 14);
  segment->text = bytes.subspan(header);
  if (header == plain_header_bytes(true) && load_be32(at + 20) == aligned_timestamps) {
    segment->options.has_timestamps = true;
    segment->options.timestamp_value = load_be32(at + 24);
    segment->options.timestamp_echo = load_be32(at + 28);
    return true;
  }
  if (header > header_bytes_min &&
      !parse_options(bytes.subspan(header_bytes_min, header - header_bytes_min),
                     segment->options)) {
    return bad(SegmentError::bad_option);
  }
  return true;
}

std::optional<Segment> parse_segment(ByteView bytes, SegmentError* error) {
  Segment segment;
  if (!parse_segment_into(&segment, bytes, error)) return std::nullopt;
  return segment;
}

uint32_t header_bytes(const Options& options) {
  return header_bytes_min + (options.has_mss ? 4U : 0U) + (options.has_window_scale ? 4U : 0U) +
         (options.has_timestamps ? timestamps_option_bytes : 0U) +
         (options.sack_permitted ? 4U : 0U) + sack_option_bytes(options.sack_count);
}

namespace {

void write_sack(uint8_t* option, const Options& options) {
  option[0] = kind_no_operation;
  option[1] = kind_no_operation;
  option[2] = kind_sack;
  option[3] = static_cast<uint8_t>(2 + sack_block_bytes * options.sack_count);
  for (size_t i = 0; i < options.sack_count; ++i) {
    uint8_t* block = option + 4 + i * sack_block_bytes;
    store_be32(block, options.sack[i].begin.value());
    store_be32(block + 4, options.sack[i].end.value());
  }
}

}  // namespace

void add_flags(uint8_t* at, uint8_t flags) {
  at[13] |= flags;
  // RFC 1624 section 3, where the word grows by the flags alone.
  uint32_t sum = uint32_t{static_cast<uint16_t>(~load_be16(at + checksum_offset))} + flags;
  sum = (sum & 0xffff) + (sum >> 16);
  store_be16(at + checksum_offset, static_cast<uint16_t>(~sum));
}

void write_header(uint8_t* at, const HeaderFields& fields) {
  store_be16(at, fields.source_port);
  store_be16(at + 2, fields.destination_port);
  store_be32(at + 4, fields.seq.value());
  store_be32(at + 8, fields.ack.value());
  at[12] = static_cast<uint8_t>(header_bytes(fields.options) >> 2 << 4);
  at[13] = fields.flags;
  store_be16(at + 14, fields.window);
  store_be32(at + checksum_offset, 0);  // checksum, urgent pointer
  uint8_t* option = at + header_bytes_min;
  if (fields.options.has_mss) {
    option[0] = kind_mss;
    option[1] = 4;
    store_be16(option + 2, fields.options.mss);
    option += 4;
  }
  if (fields.options.has_window_scale) {
    option[0] = kind_no_operation;
    option[1] = kind_window_scale;
    option[2] = 3;
    option[3] = fields.options.window_scale;
    option += 4;
  }
  if (fields.options.sack_permitted) {
    option[0] = kind_no_operation;
    option[1] = kind_no_operation;
    option[2] = kind_sack_permitted;
    option[3] = 2;
    option += 4;
  }
  if (fields.options.has_timestamps) {
    store_be32(option, aligned_timestamps);
    store_be32(option + 4, fields.options.timestamp_value);
    store_be32(option + 8, fields.options.timestamp_echo);
    option += timestamps_option_bytes;
  }
  if (fields.options.sack_count > 0) write_sack(option, fields.options);
}

}  // namespace millrace::tcp
