#include "controlplane/cluster/credentials.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "controlplane/cluster/credential_file.h"

namespace millrace::cluster {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class CredentialsTest : public ::testing::Test {
 protected:
  CredentialsTest() {
    char name[] = "/tmp/millrace-credentials-XXXXXX";
    root_ = mkdtemp(name);
  }
  ~CredentialsTest() override { fs::remove_all(root_); }
  std::string write(const std::string& name, const std::string& text) {
    std::ofstream(root_ / name) << text;
    return root_ / name;
  }
  // A kubeconfig with one cluster and one user, whose entries are given.
  std::string config(const std::string& cluster, const std::string& user) {
    return write("config", "clusters: [{name: c, cluster: {" + cluster +
                               "}}]\nusers: [{name: u, user: {" + user +
                               "}}]\ncontexts: [{name: x, context: {cluster: c, user: u}}]\n"
                               "current-context: x\n");
  }
  std::string error_of(const std::string& path, const std::string& context = "") {
    const auto credentials = Credentials::from_kubeconfig(path, context);
    return credentials.ok() ? "" : credentials.error();
  }

  fs::path root_;
  Instant now_ = Instant::from_ns(1'000'000'000'000);
};

TEST_F(CredentialsTest, AKubeconfigNamesServerAndUser) {
  write("ca.crt", "CA");
  write("token", "  abc.def\n");
  const std::string path =
      config("server: \"https://h:1/\", certificate-authority: ca.crt, tls-server-name: n",
             "tokenFile: token, token: old, client-certificate-data: Y2VydA==, "
             "client-key-data: a2V5");
  const auto credentials = Credentials::from_kubeconfig(path, "");
  ASSERT_TRUE(credentials.ok()) << credentials.error();
  const HttpIdentity& identity = credentials->identity();
  EXPECT_EQ(identity.server, "https://h:1");
  EXPECT_EQ(identity.ca_pem, "CA");
  EXPECT_EQ(identity.tls_server_name, "n");
  EXPECT_EQ(identity.bearer_token, "abc.def") << "the file counts, without white space";
  EXPECT_EQ(identity.client_certificate_pem, "cert");
  EXPECT_EQ(identity.client_key_pem, "key");
}

TEST_F(CredentialsTest, ErrorsNameTheFileAndThePlace) {
  EXPECT_THAT(error_of(root_ / "none"), HasSubstr("none: No such file"));
  EXPECT_THAT(error_of(root_), HasSubstr("directory"));
  EXPECT_THAT(error_of(write("c", "a: [\n")), HasSubstr("/c:2:"));
  EXPECT_THAT(error_of(write("c", "clusters:\n- name: [1]\n")), HasSubstr("/c:2:"));
  EXPECT_THAT(error_of(write("c", "")), HasSubstr("is empty"));
  EXPECT_THAT(error_of(write("c", "kind: Config\n")), HasSubstr("current-context"));
  EXPECT_THAT(error_of(write("c", std::string(2 << 20, ' '))), HasSubstr("1 MiB"));
  const std::string good = config("server: \"https://h\"", "token: t");
  EXPECT_EQ(error_of(good), "");
  EXPECT_THAT(error_of(good, "other"), HasSubstr("no context \"other\""));
  EXPECT_THAT(error_of(config("server: \"ftp://h\"", "token: t")), HasSubstr("ftp://h"));
  EXPECT_THAT(error_of(config("", "token: t")), HasSubstr("no http or https URL"));
  EXPECT_THAT(error_of(config("server: \"https://h\"", "exec: {command: aws}")),
              HasSubstr("\"aws\", and commands are not run"));
  EXPECT_THAT(error_of(config("server: \"https://h\"", "client-key-data: \"%%\"")),
              HasSubstr("client-key-data is not base64"));
  EXPECT_THAT(error_of(config("server: \"https://h\"", "tokenFile: gone")), HasSubstr("gone"));
  EXPECT_THAT(error_of(config("server: \"https://h\"", "client-key-data: a2V5")),
              HasSubstr("without the other"));
  write("blank", " \n");
  EXPECT_THAT(error_of(config("server: \"https://h\"", "tokenFile: blank")),
              HasSubstr("holds no token"));
  write("two", "a\nX-Evil: b\n");
  EXPECT_THAT(error_of(config("server: \"https://h\"", "tokenFile: two")),
              HasSubstr("holds no token"));
  EXPECT_THAT(error_of(write("c",
                             "contexts: [{name: x, context: {cluster: k}}]\n"
                             "current-context: x\n")),
              HasSubstr("cluster \"k\", which is not there"));
  EXPECT_THAT(error_of(write("c",
                             "clusters: [{name: k, cluster: {server: \"https://h\"}}]\n"
                             "contexts: [{name: x, context: {cluster: k, user: w}}]\n"
                             "current-context: x\n")),
              HasSubstr("user \"w\", which is not there"));
}

TEST_F(CredentialsTest, C12_WhatRotatesIsReadAgain) {
  write("ca.crt", "CA 1");
  write("token", "one");
  auto credentials = Credentials::in_cluster("10.0.0.1", "443", root_);
  ASSERT_TRUE(credentials.ok()) << credentials.error();
  EXPECT_EQ(credentials->identity().server, "https://10.0.0.1:443");
  EXPECT_TRUE(credentials->refresh(now_).ok());
  write("token", "two");
  write("ca.crt", "CA 2");
  EXPECT_TRUE(credentials->refresh(now_ + Duration::seconds(9)).ok());
  EXPECT_EQ(credentials->identity().bearer_token, "one") << "not at every turn";
  EXPECT_TRUE(credentials->refresh(now_ + credential_look_interval).ok());
  EXPECT_EQ(credentials->identity().bearer_token, "two");
  EXPECT_EQ(credentials->identity().ca_pem, "CA 2");
  write("token", "three");
  credentials->look_at_once();
  EXPECT_TRUE(credentials->refresh(now_ + Duration::seconds(11)).ok());
  EXPECT_EQ(credentials->identity().bearer_token, "three");
}

TEST_F(CredentialsTest, C12_AFileThatIsEmptyOrGoneForAMomentCostsNothing) {
  write("ca.crt", "CA");
  write("token", "one");
  auto credentials = Credentials::in_cluster("10.0.0.1", "443", root_);
  ASSERT_TRUE(credentials.ok());
  const auto look = [&] {
    now_ = now_ + credential_look_interval;
    return credentials->refresh(now_);
  };
  for (const auto& spoil : std::initializer_list<std::function<void()>>{
           [&] { write("token", ""); }, [&] { write("token", "\n"); },
           [&] { fs::remove(root_ / "token"); }, [&] { write("ca.crt", ""); }}) {
    write("token", "one");
    write("ca.crt", "CA");
    spoil();
    const auto status = look();
    ASSERT_FALSE(status.ok());
    EXPECT_THAT(status.error(), HasSubstr("goes on to count"));
    EXPECT_FALSE(credentials->refresh(now_).ok()) << "it is a problem until it is solved";
    EXPECT_EQ(credentials->identity().bearer_token, "one");
    EXPECT_EQ(credentials->identity().ca_pem, "CA");
  }
  write("token", "two");
  write("ca.crt", "CA");
  EXPECT_TRUE(look().ok());
  EXPECT_EQ(credentials->identity().bearer_token, "two");
}

TEST_F(CredentialsTest, C12_AKubeconfigIsReadAgainWithAllItHolds) {
  auto credentials =
      Credentials::from_kubeconfig(config("server: \"https://h\"", "token: one"), "");
  ASSERT_TRUE(credentials.ok());
  config("server: \"https://h\"", "token: two");
  EXPECT_TRUE(credentials->refresh(now_).ok());
  EXPECT_EQ(credentials->identity().bearer_token, "two");
  config("server: \"https://other\"", "token: three");
  now_ = now_ + credential_look_interval;
  EXPECT_THAT(credentials->refresh(now_).error(), HasSubstr("names another server"));
  EXPECT_EQ(credentials->identity().bearer_token, "two");
}

TEST_F(CredentialsTest, APodIsToldWhereTheServerIs) {
  write("ca.crt", "CA");
  write("token", "t");
  EXPECT_EQ(Credentials::in_cluster("fd00::1", "443", root_)->identity().server,
            "https://[fd00::1]:443");
  EXPECT_FALSE(Credentials::in_cluster("", "443", root_).ok());
  EXPECT_FALSE(Credentials::in_cluster("h", "", root_).ok());
  fs::remove(root_ / "ca.crt");
  EXPECT_THAT(Credentials::in_cluster("h", "1", root_).error(), HasSubstr("ca.crt"));
}

TEST(Base64, EdgeCases) {
  const auto read = [](std::string_view text) {
    std::string bytes;
    return decode_base64(text, &bytes) ? bytes : std::string("no");
  };
  EXPECT_EQ(read(""), "");
  EXPECT_EQ(read("YQ=="), "a");
  EXPECT_EQ(read("YWI="), "ab");
  EXPECT_EQ(read("YWJj"), "abc");
  EXPECT_EQ(read("YW\nJj\r\n "), "abc");
  EXPECT_EQ(read("+/+/"), "\xfb\xff\xbf");
  EXPECT_EQ(read("AAAA"), std::string(3, '\0'));
  for (const char* text :
       {"Y", "YQ", "YQ=", "YQ===", "=", "====", "YQ==YQ==", "Y=Q=", "YWJ*", "YWJj=", "-_-_"}) {
    EXPECT_EQ(read(text), "no") << text;
  }
}

}  // namespace
}  // namespace millrace::cluster
