// --once with a source that is made up, as far as Secrets go.
#include "controlplane/once.h"

#include <gtest/gtest.h>

#include "controlplane/manifests/file.h"

namespace millrace {
namespace {

class SourceOfSecrets final : public store::Source {
 public:
  explicit SourceOfSecrets(std::string manifests) : manifests_(std::move(manifests)) {}

  int fd() const override { return -1; }
  Instant due(Instant) const override { return Instant::never(); }
  void turn(Instant, store::Store* store) override {
    if (++turns_ > 1) return;
    for (k8s::Object& object : manifests::parse_file("", manifests_).objects) store->put(object);
  }
  bool has_synced() const override { return true; }
  std::vector<k8s::Problem> problems() const override { return {}; }
  void accept_removals() override {}
  void watch_secrets(const store::SecretNames& names, store::Store*) override {
    wanted = names;
    ++asked;
  }
  std::optional<std::string> why_unknown(const std::string&, const std::string&) const override {
    return turns_ >= known_at_turn ? std::nullopt : std::optional<std::string>("");
  }
  std::string name() const override { return "made up"; }

  int known_at_turn = 0;
  int asked = 0;
  store::SecretNames wanted;

 private:
  const std::string manifests_;
  int turns_ = 0;
};

std::string ingress(const std::string& name, const std::string& secret) {
  return "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: " + name +
         "}\nspec: {tls: [{secretName: " + secret + "}], rules: [{host: " + name + ".example}]}\n";
}

class OnceTest : public ::testing::Test {
 protected:
  OnceTest() { config_.cluster.watch_secrets = true; }
  ControlPlaneConfig config_;
};

TEST_F(OnceTest, SecretsThatAreNotKnownInTimeAreSaidAndAreNoReport) {
  SourceOfSecrets source(ingress("a", "s") + ingress("b", "t"));
  source.known_at_turn = 1'000'000;
  const OnceReport report = report_once(config_, &source, Duration::seconds(1));
  EXPECT_EQ(report.exit_code, 2);
  EXPECT_EQ(report.text, "made up has not told of 2 TLS Secrets in 1 s");
  EXPECT_EQ(source.asked, 1) << "the names stay what they were";
}

TEST_F(OnceTest, SecretsThatComeInTimeAreJudged) {
  SourceOfSecrets source(ingress("a", "s"));
  source.known_at_turn = 5;
  const OnceReport report = report_once(config_, &source, Duration::seconds(20));
  EXPECT_EQ(report.exit_code, 1);
  EXPECT_NE(report.text.find("there is no Secret default/s"), std::string::npos) << report.text;
}

TEST_F(OnceTest, AQuotaBoundsWhatIsLookedAtAsInTheRunningProgram) {
  config_.model.ownership.mode = model::OwnershipMode::enforce;
  config_.model.ownership.quota.certificates = 1;
  SourceOfSecrets source(ingress("a", "s") + ingress("b", "t"));
  const OnceReport report = report_once(config_, &source, Duration::seconds(20));
  EXPECT_EQ(source.wanted.size(), 1u);
  EXPECT_EQ(report.exit_code, 1);
}

}  // namespace
}  // namespace millrace
