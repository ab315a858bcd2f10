#include "tests/support/response_reader.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/support/latency_histogram.h"

namespace millrace::support {
namespace {

using State = ResponseReader::State;

// Feeds the bytes in pieces of `piece` and returns what was not taken.
std::string feed(ResponseReader& reader, std::string_view bytes, size_t piece) {
  reader.start();
  while (!bytes.empty() && reader.state() != State::done && reader.state() != State::malformed) {
    const std::string_view part = bytes.substr(0, piece);
    bytes.remove_prefix(reader.take(part));
  }
  return std::string(bytes);
}

TEST(ResponseReader, ContentLengthEndsWhereItSays) {
  for (const size_t piece : {size_t{1}, size_t{7}, size_t{4096}}) {
    ResponseReader reader;
    const std::string rest =
        feed(reader, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nweb-a yesHTTP", piece);
    EXPECT_EQ(reader.state(), State::done);
    EXPECT_EQ(reader.status(), 200);
    EXPECT_EQ(reader.tag(), "web-a");
    EXPECT_EQ(reader.body_bytes(), 9U);
    EXPECT_FALSE(reader.close_announced());
    EXPECT_EQ(rest, "HTTP");
  }
}

TEST(ResponseReader, ChunkedWithExtensionAndTrailer) {
  for (const size_t piece : {size_t{1}, size_t{5}, size_t{4096}}) {
    ResponseReader reader;
    const std::string rest = feed(reader,
                                  "HTTP/1.1 404 No\r\ntransfer-encoding: chunked\r\n"
                                  "connection: close\r\n\r\n3;x=y\r\nweb\r\nA\r\n-b\n 567890\r\n"
                                  "0\r\nT: v\r\n\r\nX",
                                  piece);
    EXPECT_EQ(reader.state(), State::done);
    EXPECT_EQ(reader.status(), 404);
    EXPECT_EQ(reader.tag(), "web-b");
    EXPECT_EQ(reader.body_bytes(), 13U);
    EXPECT_TRUE(reader.close_announced());
    EXPECT_EQ(rest, "X");
  }
}

TEST(ResponseReader, InterimResponseIsSkipped) {
  ResponseReader reader;
  feed(reader, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", 3);
  EXPECT_EQ(reader.state(), State::done);
  EXPECT_EQ(reader.status(), 204);
}

TEST(ResponseReader, WhatIsCutShortIsNotDone) {
  ResponseReader reader;
  feed(reader, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nweb-a ye", 64);
  reader.end_of_stream();
  EXPECT_EQ(reader.state(), State::malformed);
  feed(reader, "HTTP/1.1 200 OK\r\n\r\nuntil the end", 64);
  EXPECT_EQ(reader.state(), State::body);
  reader.end_of_stream();
  EXPECT_EQ(reader.state(), State::done);
}

TEST(ResponseReader, NonsenseIsMalformed) {
  for (const char* bytes : {"SSH-2.0-x\r\n\r\n", "HTTP/1.1 2x0 OK\r\nA: b\r\n\r\n",
                            "HTTP/1.1 200 OK\r\nContent-Length: 9x\r\n\r\n",
                            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
                            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n"}) {
    ResponseReader reader;
    feed(reader, bytes, 4096);
    EXPECT_EQ(reader.state(), State::malformed) << bytes;
  }
  ResponseReader reader;
  feed(reader, "HTTP/1.1 200 OK\r\nA: " + std::string(ResponseReader::head_bytes_max, 'a'), 4096);
  EXPECT_EQ(reader.state(), State::malformed);
}

TEST(LatencyHistogram, QuantilesAreWithinOneSixtyFourth) {
  LatencyHistogram histogram;
  EXPECT_EQ(histogram.quantile_ns(0.5), 0U);
  for (uint64_t us = 1; us <= 10'000; ++us) histogram.record(us * 1'000);
  EXPECT_EQ(histogram.total(), 10'000U);
  EXPECT_EQ(histogram.max_ns(), 10'000'000U);
  EXPECT_EQ(histogram.mean_ns(), 5'000'500U);
  for (const double share : {0.01, 0.5, 0.9, 0.99, 0.999}) {
    const double exact = share * 10'000'000.0;
    EXPECT_GE(static_cast<double>(histogram.quantile_ns(share)), exact);
    EXPECT_LE(static_cast<double>(histogram.quantile_ns(share)), exact * (1 + 1.0 / 64) + 1'000);
  }
  EXPECT_EQ(histogram.quantile_ns(1.0), 10'000'000U);
  LatencyHistogram small;
  small.record(3);
  EXPECT_EQ(small.quantile_ns(0.5), 3U);
  small.record(UINT64_MAX);
  EXPECT_EQ(small.quantile_ns(1.0), UINT64_MAX);
}

}  // namespace
}  // namespace millrace::support
