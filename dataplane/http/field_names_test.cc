#include "dataplane/http/field_names.h"

#include <gtest/gtest.h>

#include <string>

#include "dataplane/http/char_class.h"
#include "tests/support/guard_page.h"

namespace millrace::http {
namespace {

class FieldNames : public ::testing::Test {
 protected:
  FieldName recognise(const std::string& name) {
    const ByteView placed = page_.place(name);
    return recognise_field_name(placed.data(), placed.size());
  }
  millrace::testing::GuardPage page_{4096};
};

TEST_F(FieldNames, EveryNameIsRecognisedInAnyCase) {
  for (size_t i = 1; i < field_name_count; ++i) {
    const auto known = static_cast<FieldName>(i);
    std::string name(to_text(known));
    if (name.empty()) continue;
    EXPECT_EQ(recognise(name), known) << name;
    std::string upper = name;
    for (char& c : upper) c = static_cast<char>(std::toupper(c));
    EXPECT_EQ(recognise(upper), known) << upper;
    for (size_t at = 0; at < name.size(); at += 2) {
      name[at] = static_cast<char>(std::toupper(name[at]));
    }
    EXPECT_EQ(recognise(name), known) << name;
  }
}

// Recognition stands for validation, so nothing but letters of the other case may pass as equal.
TEST_F(FieldNames, H4_OneOctetOffIsAnotherName) {
  for (size_t i = 1; i < field_name_count; ++i) {
    const auto known = static_cast<FieldName>(i);
    const std::string name(to_text(known));
    for (size_t at = 0; at < name.size(); ++at) {
      for (unsigned c = 0; c < 256; ++c) {
        std::string other = name;
        other[at] = static_cast<char>(c);
        const bool same = equals_ignoring_case(other, name);
        EXPECT_EQ(recognise(other) == known, same) << name << " at " << at << " octet " << c;
      }
    }
    EXPECT_NE(recognise(name + "x"), known);
    if (name.size() > 1) {
      EXPECT_NE(recognise(name.substr(1)), known);
      EXPECT_NE(recognise(name.substr(0, name.size() - 1)), known);
    }
  }
}

TEST_F(FieldNames, UnknownNames) {
  EXPECT_EQ(recognise(""), FieldName::other);
  EXPECT_EQ(recognise("x"), FieldName::other);
  EXPECT_EQ(recognise("x-forwarded-"), FieldName::other);
  EXPECT_EQ(recognise("x-forwarded"), FieldName::other);
  EXPECT_EQ(recognise(std::string(300, 'a')), FieldName::other);
}

TEST_F(FieldNames, H33_EveryForwardingNameIsOne) {
  for (const char* name :
       {"X-Forwarded-For", "x-forwarded-proto", "X-FORWARDED-HOST", "X-Forwarded-Port",
        "X-Forwarded-Prefix", "X-Forwarded-Server", "X-Forwarded-Ssl", "X-Forwarded-Client-Cert",
        "X-Real-IP", "Forwarded"}) {
    EXPECT_TRUE(is_forwarding_field(recognise(name))) << name;
    EXPECT_TRUE(is_protected_from_nomination(recognise(name))) << name;
  }
  EXPECT_FALSE(is_forwarding_field(recognise("X-Forwardedfor")));
}

TEST_F(FieldNames, H14_HopByHopNames) {
  for (const char* name :
       {"Connection", "Keep-Alive", "Proxy-Connection", "TE", "Trailer", "Upgrade",
        "Proxy-Authenticate", "Proxy-Authorization", "Transfer-Encoding", "Content-Length"}) {
    EXPECT_TRUE(is_hop_by_hop(recognise(name))) << name;
  }
  for (const char* name : {"Host", "Authorization", "Cookie", "Date", "Via"}) {
    EXPECT_FALSE(is_hop_by_hop(recognise(name))) << name;
  }
}

}  // namespace
}  // namespace millrace::http
