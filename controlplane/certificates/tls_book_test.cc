#include "controlplane/certificates/tls_book.h"

#include <gtest/gtest.h>

#include "controlplane/certificates/certificate_testing.h"

namespace millrace::certificates {
namespace {

using k8s::Reason;
using k8s::Secret;

constexpr int64_t day_s = 86'400;
constexpr int64_t start_s = 1'790'000'000;

struct Tls {
  std::string secret;
  std::vector<std::string> hosts;
};

class TlsBookTest : public ::testing::Test {
 protected:
  TlsBookTest() {
    view_.is_ours = [](const k8s::Object&, const k8s::Ingress& ingress) {
      return ingress.spec().ingress_class_name() != "another";
    };
    view_.why_unknown = [this](const std::string&, const std::string& name) {
      const auto at = unknown_.find(name);
      return at == unknown_.end() ? std::nullopt : std::optional(at->second);
    };
    view_.now_s = start_s;
  }
  void ingress(const std::string& name, const std::vector<Tls>& entries,
               const std::string& class_name = "millrace") {
    k8s::Ingress body;
    body.mutable_metadata()->set_name(name);
    body.mutable_spec()->set_ingress_class_name(class_name);
    for (const Tls& one : entries) {
      auto* tls = body.mutable_spec()->add_tls();
      tls->set_secret_name(one.secret);
      for (const std::string& host : one.hosts) tls->add_hosts(host);
    }
    put(k8s::Kind::ingress, name, std::move(body));
  }
  void secret(const std::string& name, const std::string& pem,
              Secret::KeyState state = Secret::KEY_MATCHES,
              const std::string& type = "kubernetes.io/tls", bool key_in_certificate = false) {
    Secret body;
    body.mutable_metadata()->set_name(name);
    body.set_type(type);
    body.set_key_state(state);
    body.set_key_in_certificate(key_in_certificate);
    if (!pem.empty()) (*body.mutable_data())["tls.crt"] = pem;
    put(k8s::Kind::secret, name, std::move(body));
  }
  template <class Body>
  void put(k8s::Kind kind, const std::string& name, Body body) {
    objects_.put({{kind, "shop", name}, {}, k8s::Body(body)});
  }
  bool update() {
    const bool differs = book_.update(objects_, objects_.take_changes(), view_);
    // What came of changes is what comes of nothing but the objects.
    TlsBook anew(true);
    anew.rebuild(objects_, view_);
    EXPECT_EQ(anew.problems(), book_.problems());
    EXPECT_EQ(anew.secrets(), book_.secrets());
    return differs;
  }
  // Without the note that every one has.
  std::string said() {
    std::string text;
    for (const k8s::Problem& problem : book_.problems()) {
      if (problem.reason == Reason::tls_not_terminated) continue;
      text += std::string(k8s::reason_of(problem)) + ": " + problem.sentence + '\n';
    }
    return text;
  }
  static std::string certificate(const std::vector<std::string>& names, int64_t days = 90) {
    return make_certificate(names, start_s - day_s, start_s + days * day_s).certificate_pem;
  }

  store::Store objects_;
  std::map<std::string, std::string> unknown_;
  View view_;
  TlsBook book_{true};
};

TEST_F(TlsBookTest, TlsThatIsNotTerminatedIsSaidOnceAnIngress) {
  ingress("a", {{"s", {"a.example"}}, {"t", {"b.example"}}});
  ingress("plain", {});
  ingress("foreign", {{"s", {"a.example"}}}, "another");
  TlsBook book(false);
  book.rebuild(objects_, view_);
  ASSERT_EQ(book.problems().size(), 1u);
  EXPECT_EQ(book.problems()[0].severity, k8s::Severity::note);
  EXPECT_EQ(book.problems()[0].text(),
            "Ingress shop/a: spec.tls: TLS is not terminated here; its hosts are served in plain "
            "HTTP only");
  EXPECT_TRUE(book.secrets().empty()) << "it reads none";
}

TEST_F(TlsBookTest, SecretsAreFollowedAsIngressesComeAndGo) {
  ingress("a", {{"s", {}}, {"t", {}}});
  ingress("b", {{"s", {}}});
  ingress("foreign", {{"u", {}}}, "another");
  ingress("wrong", {{"../t", {}}});
  update();
  EXPECT_EQ(book_.secrets(), (store::SecretNames{{"shop", "s"}, {"shop", "t"}}));
  ingress("a", {{"v", {}}});
  EXPECT_TRUE(update());
  EXPECT_EQ(book_.secrets(), (store::SecretNames{{"shop", "s"}, {"shop", "v"}}));
  objects_.remove({k8s::Kind::ingress, "shop", "b"});
  EXPECT_TRUE(update());
  EXPECT_EQ(book_.secrets(), (store::SecretNames{{"shop", "v"}}));
  EXPECT_FALSE(update());
}

TEST_F(TlsBookTest, WhatIsWrongWithASecretIsSaidOfItsIngress) {
  const std::string pem = certificate({"a.example"});
  ingress("a", {{"s", {"a.example"}}});
  update();
  EXPECT_EQ(said(), "CertificateMissing: spec.tls[0].secretName: there is no Secret shop/s\n");
  secret("s", pem, Secret::KEY_MATCHES);
  EXPECT_TRUE(update());
  EXPECT_EQ(said(), "");
  ASSERT_EQ(book_.expiries().size(), 1u);
  EXPECT_EQ(book_.expiries()[0].not_after_s, start_s + 90 * day_s);
  EXPECT_EQ(book_.problems().size(), 1u);
  secret("s", pem, Secret::KEY_MATCHES, "kubernetes.io/tls", true);
  EXPECT_TRUE(update());
  EXPECT_TRUE(
      said().starts_with("CertificateInvalid: spec.tls[0].secretName: Secret shop/s has a "
                         "private key in its tls.crt"))
      << said();
  const struct {
    std::string pem;
    Secret::KeyState state;
    std::string type;
    std::string wanted;
  } cases[] = {
      {pem, Secret::KEY_MATCHES, "Opaque", "is of type \"Opaque\", not kubernetes.io/tls"},
      {"", Secret::KEY_UNCHECKED, "kubernetes.io/tls", "has no tls.crt"},
      {"", Secret::KEY_MISSING, "Opaque", "is of type \"Opaque\", not kubernetes.io/tls\n"},
      {"x", Secret::KEY_UNCHECKED, "kubernetes.io/tls",
       "has a tls.crt that cannot be used: it holds no certificate in PEM"},
      {pem, Secret::KEY_MISSING, "kubernetes.io/tls", "has no tls.key"},
      {pem, Secret::KEY_UNREADABLE, "kubernetes.io/tls", "has a tls.key that cannot be read"},
      {pem, Secret::KEY_OF_ANOTHER, "kubernetes.io/tls",
       "has a tls.key that does not match its tls.crt"},
  };
  for (const auto& one : cases) {
    secret("s", one.pem, one.state, one.type);
    EXPECT_TRUE(update());
    EXPECT_TRUE(said().starts_with("CertificateInvalid: spec.tls[0].secretName: Secret shop/s " +
                                   one.wanted))
        << said();
    EXPECT_EQ(book_.problems().size(), 2u);
  }
}

TEST_F(TlsBookTest, HostsThatTheCertificateDoesNotCoverAreNamed) {
  secret("s", certificate({"a.example", "*.b.example"}));
  ingress("a", {{"s", {"A.example", "x.b.example", "*.b.example", "b.example"}}});
  update();
  EXPECT_EQ(said(),
            "CertificateInvalid: spec.tls[0].secretName: the certificate of Secret shop/s does "
            "not cover the host \"b.example\"\n");
  ingress("a", {{"s", {"1.example", "2.example", "3.example", "4.example", "5.example"}}});
  update();
  EXPECT_NE(said().find("hosts \"1.example\", \"2.example\", \"3.example\" and 2 more\n"),
            std::string::npos)
      << said();
}

TEST_F(TlsBookTest, TimeAloneChangesWhatIsSaid) {
  secret("s", certificate({"a.example"}));
  secret("short", certificate({"a.example"}, 3));  // four days in all
  ingress("a", {{"s", {"a.example"}}, {"short", {"a.example"}}});
  update();
  EXPECT_EQ(said(), "");
  EXPECT_EQ(book_.due_s(), start_s + 2 * day_s) << "a quarter of four days is left";
  view_.now_s = book_.due_s();
  EXPECT_TRUE(update());
  EXPECT_NE(said().find("CertificateExpiring: spec.tls[1].secretName: the certificate of Secret "
                        "shop/short ends soon, at 2026-09-24T"),
            std::string::npos)
      << said();
  view_.now_s = start_s + 3 * day_s;
  update();
  EXPECT_NE(said().find("CertificateInvalid: spec.tls[1].secretName: the certificate of Secret "
                        "shop/short ended at 2026-09-24T"),
            std::string::npos)
      << said();
  EXPECT_EQ(book_.due_s(), start_s + 76 * day_s) << "fourteen days are left to the other one";
  view_.now_s = start_s - 2 * day_s;
  book_.rebuild(objects_, view_);
  EXPECT_NE(said().find("shop/s is not valid before 2026-09-20T"), std::string::npos) << said();
}

TEST_F(TlsBookTest, ASecretThatIsNotKnownIsNotMissing) {
  unknown_["s"] = "";
  ingress("a", {{"s", {"a.example"}}});
  update();
  EXPECT_EQ(said(), "") << "its first look is under way";
  unknown_["s"] = "HTTP 403: secrets \"s\" is forbidden";
  EXPECT_TRUE(update());
  EXPECT_EQ(said(),
            "CertificateMissing: spec.tls[0].secretName: Secret shop/s cannot be looked at: HTTP "
            "403: secrets \"s\" is forbidden\n");
  EXPECT_FALSE(update()) << "the same again is no news";
  unknown_.clear();
  EXPECT_TRUE(update());
  EXPECT_EQ(said(), "CertificateMissing: spec.tls[0].secretName: there is no Secret shop/s\n");
}

TEST_F(TlsBookTest, WhatAQuotaLeavesOutIsNotRead) {
  std::set<std::string> over;
  view_.may_have = [&](const k8s::ObjectKey& key, const std::string& secret) {
    return !over.contains(key.name + ' ' + secret);
  };
  ingress("a", {{"s", {}}});
  ingress("b", {{"t", {}}});
  update();
  EXPECT_EQ(book_.secrets().size(), 2u);
  over.insert("b t");
  ingress("a", {{"s", {}}, {"u", {}}});  // which takes the place of the other one's
  update();
  EXPECT_EQ(book_.secrets(), (store::SecretNames{{"shop", "s"}, {"shop", "u"}}));
  over.clear();
  objects_.remove({k8s::Kind::ingress, "shop", "a"});
  update();
  EXPECT_EQ(book_.secrets(), (store::SecretNames{{"shop", "t"}}));
}

// Every change of any object came to all Ingresses of the cluster.
TEST_F(TlsBookTest, AQuotaConcernsTheNamespaceThatChanged) {
  std::set<std::string> asked;
  view_.may_have = [&](const k8s::ObjectKey& key, const std::string&) {
    asked.insert(key.name_space + '/' + key.name);
    return true;
  };
  for (const char* name_space : {"home", "shop"}) {
    for (const char* name : {"a", "b"}) {
      k8s::Ingress body;
      body.mutable_spec()->add_tls()->set_secret_name("s");
      objects_.put({{k8s::Kind::ingress, name_space, name}, {}, k8s::Body(body)});
    }
  }
  const auto asked_after = [&] {
    asked.clear();
    book_.update(objects_, objects_.take_changes(), view_);
    return asked;
  };
  EXPECT_EQ(asked_after().size(), 4u);
  put(k8s::Kind::service, "a", k8s::Service());
  put(k8s::Kind::endpoint_slice, "a", k8s::EndpointSlice());
  put(k8s::Kind::node, "a", k8s::Node());
  EXPECT_EQ(asked_after(), std::set<std::string>());
  ingress("a", {{"t", {}}});
  EXPECT_EQ(asked_after(), (std::set<std::string>{"shop/a", "shop/b"}));
  objects_.remove({k8s::Kind::ingress, "home", "a"});
  EXPECT_EQ(asked_after(), std::set<std::string>{"home/b"});
  objects_.put({{k8s::Kind::name_space, "", "shop"}, {}, k8s::Body(k8s::Namespace())});
  EXPECT_EQ(asked_after(), (std::set<std::string>{"shop/a", "shop/b"}));
  put(k8s::Kind::ingress_class, "a", k8s::IngressClass());
  EXPECT_EQ(asked_after(), (std::set<std::string>{"home/b", "shop/a", "shop/b"}));
}

TEST_F(TlsBookTest, AChangeOfAnIngressThatChangesNothingToSayIsNoNews) {
  ingress("a", {{"s", {"a.example"}}});
  EXPECT_TRUE(update());
  const uint64_t version = book_.secrets_version();
  secret("s", certificate({"a.example", "b.example"}));
  EXPECT_TRUE(update());
  ingress("a", {{"s", {"b.example"}}});
  EXPECT_FALSE(update());
  ingress("a", {{"s", {"c.example"}}});
  EXPECT_TRUE(update());
  EXPECT_EQ(book_.secrets(), (store::SecretNames{{"shop", "s"}}));
  ingress("a", {});
  EXPECT_TRUE(update());
  EXPECT_NE(book_.secrets_version(), version);
}

TEST_F(TlsBookTest, C9_HostsAreBounded) {
  std::vector<std::string> hosts;
  for (size_t i = 0; i < tls_hosts_max - 1; ++i) hosts.push_back(std::to_string(i) + ".example");
  secret("s", certificate({"*.example"}));
  ingress("a", {{"s", hosts}, {"s", {"x.example", "y.example", "z.example"}}, {"s", {"z"}}});
  update();
  EXPECT_EQ(said(),
            "CertificateInvalid: spec.tls has more than 1000 hosts; the other 3 are not looked "
            "at\n");
}

TEST_F(TlsBookTest, C9_EntriesAreBounded) {
  std::vector<Tls> entries;
  for (size_t i = 0; i < 10 * tls_entries_max; ++i)
    entries.push_back({"s" + std::to_string(i), {}});
  ingress("a", entries);
  update();
  EXPECT_EQ(book_.secrets().size(), tls_entries_max);
  EXPECT_EQ(book_.problems().size(), k8s::object_problems_max + 1);
}

TEST_F(TlsBookTest, ManyIngressesAndSecretsInAnyOrder) {
  const std::vector<std::string> pems = {certificate({"a.example"}), certificate({"b.example"}, 5)};
  uint32_t state = 1;
  const auto next = [&](uint32_t bound) {
    state = state * 1'664'525 + 1'013'904'223;
    return (state >> 16) % bound;
  };
  for (int step = 0; step < 2'000; ++step) {
    const std::string name(1, static_cast<char>('a' + next(5)));
    switch (next(6)) {
      case 0: objects_.remove({k8s::Kind::ingress, "shop", name}); break;
      case 1: objects_.remove({k8s::Kind::secret, "shop", name}); break;
      case 2: secret(name, pems[next(2)], static_cast<Secret::KeyState>(next(5))); break;
      default:
        ingress(name,
                {{std::string(1, static_cast<char>('a' + next(5))), {"a.example"}},
                 {std::string(1, static_cast<char>('a' + next(5))), {}}},
                next(4) == 0 ? "another" : "millrace");
    }
    if (next(3) != 0) update();
  }
}

}  // namespace
}  // namespace millrace::certificates
