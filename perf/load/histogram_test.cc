#include "perf/load/histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/random.h"

namespace millrace::load {
namespace {

TEST(Histogram, NothingRecordedIsNothing) {
  const Histogram histogram;
  EXPECT_EQ(histogram.count(), 0U);
  EXPECT_EQ(histogram.percentile_ns(0.99), 0U);
  EXPECT_EQ(histogram.mean_ns(), 0);
}

TEST(Histogram, EveryValueLiesInItsBucketAndBucketsFollowOneAnother) {
  Random random(1);
  for (int i = 0; i < 200'000; ++i) {
    const uint64_t value = random.next() >> (24 + random.below(40));
    const uint32_t index = Histogram::bucket_of(value);
    ASSERT_LT(index, Histogram::bucket_count) << value;
    ASSERT_LE(value, Histogram::bucket_upper_ns(index)) << value;
    if (index > 0) {
      ASSERT_GT(value, Histogram::bucket_upper_ns(index - 1)) << value;
    }
  }
  EXPECT_EQ(Histogram::bucket_of(Histogram::value_ns_max), Histogram::bucket_count - 1);
  EXPECT_EQ(Histogram::bucket_upper_ns(Histogram::bucket_count - 1), Histogram::value_ns_max);
}

TEST(Histogram, PercentilesAreWithinOnePercentAboveTheTruth) {
  Random random(2);
  std::vector<uint64_t> values;
  Histogram histogram;
  for (int i = 0; i < 100'000; ++i) {
    // Log-uniform from 100 ns to 10 s: every size is as likely.
    const double power = 2 + 8 * static_cast<double>(random.below(1U << 30)) / (1U << 30);
    values.push_back(static_cast<uint64_t>(std::pow(10, power)));
    histogram.record(values.back());
  }
  std::sort(values.begin(), values.end());
  for (double fraction : {0.0001, 0.01, 0.5, 0.9, 0.99, 0.999, 0.9999, 1.0}) {
    const double exact = static_cast<double>(
        values[static_cast<size_t>(std::ceil(fraction * static_cast<double>(values.size()))) - 1]);
    const auto told = static_cast<double>(histogram.percentile_ns(fraction));
    EXPECT_GE(told, exact) << fraction;
    EXPECT_LE(told, exact * 1.01) << fraction;
  }
  EXPECT_EQ(histogram.max_ns(), values.back());
}

TEST(Histogram, MeanIsExactAndLongValuesCountAsTheLongest) {
  Histogram histogram;
  histogram.record(1'000'003);
  histogram.record(3'000'001);
  EXPECT_EQ(histogram.mean_ns(), 2'000'002);
  histogram.record(UINT64_MAX);
  EXPECT_EQ(histogram.max_ns(), Histogram::value_ns_max);
  EXPECT_EQ(histogram.count(), 3U);
}

TEST(Histogram, TwoAddUpToOne) {
  Random random(3);
  Histogram all;
  Histogram even;
  Histogram odd;
  for (int i = 0; i < 10'000; ++i) {
    const uint64_t value = random.below(10'000'000);
    all.record(value);
    (i % 2 == 0 ? even : odd).record(value);
  }
  even.add(odd);
  EXPECT_EQ(even.count(), all.count());
  EXPECT_EQ(even.mean_ns(), all.mean_ns());
  EXPECT_EQ(even.max_ns(), all.max_ns());
  for (uint32_t index = 0; index < Histogram::bucket_count; ++index) {
    ASSERT_EQ(even.bucket(index), all.bucket(index));
  }
  even.clear();
  EXPECT_EQ(even.count(), 0U);
  EXPECT_EQ(even.percentile_ns(1), 0U);
}

}  // namespace
}  // namespace millrace::load
