#include <algorithm>
#include <cstring>

#include "dataplane/http/head_writer.h"

namespace millrace::http {
namespace {

constexpr int64_t seconds_a_day = 86'400;
constexpr int64_t last_second = 253'402'300'799;  // of the year 9999

struct CivilDate {
  unsigned year;
  unsigned month;  // 0 to 11
  unsigned day;    // 1 to 31
};

bool is_leap(unsigned year) {
  return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

// Whole 400-year cycles first, then at most 399 years one by one: once a second is not often.
CivilDate civil_date(unsigned days) {
  constexpr unsigned days_a_cycle = 146'097;
  unsigned year = 1970 + days / days_a_cycle * 400;
  days %= days_a_cycle;
  for (unsigned length; days >= (length = is_leap(year) ? 366U : 365U); ++year) days -= length;
  const unsigned months[12] = {31, is_leap(year) ? 29U : 28U, 31, 30, 31, 30, 31, 31, 30, 31, 30,
                               31};
  unsigned month = 0;
  while (days >= months[month]) days -= months[month++];
  return {year, month, days + 1};
}

void put_two(char* to, unsigned value) {
  to[0] = static_cast<char>('0' + value / 10 % 10);
  to[1] = static_cast<char>('0' + value % 10);
}

}  // namespace

void format_http_date(int64_t unix_seconds, std::span<char, http_date_bytes> output) {
  const auto seconds = static_cast<uint64_t>(std::clamp(unix_seconds, int64_t{0}, last_second));
  const auto days = static_cast<unsigned>(seconds / seconds_a_day);
  const auto of_day = static_cast<unsigned>(seconds % seconds_a_day);
  const CivilDate date = civil_date(days);
  char* to = output.data();
  std::memcpy(to, "Thu, 01 Jan 1970 00:00:00 GMT", http_date_bytes);
  std::memcpy(to, &"ThuFriSatSunMonTueWed"[days % 7 * 3], 3);  // the epoch was a Thursday
  put_two(to + 5, date.day);
  std::memcpy(to + 8, &"JanFebMarAprMayJunJulAugSepOctNovDec"[date.month * 3], 3);
  put_two(to + 12, date.year / 100);
  put_two(to + 14, date.year % 100);
  put_two(to + 17, of_day / 3600);
  put_two(to + 20, of_day / 60 % 60);
  put_two(to + 23, of_day % 60);
}

}  // namespace millrace::http
