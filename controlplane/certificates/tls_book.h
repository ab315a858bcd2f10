// What Ingresses ask of TLS (spec.tls): which Secrets they name, and what is wrong with those. A
// change costs the Ingresses that it concerns. Certificates only: the private keys have been taken
// out of what the store holds, and what they were found to be stands beside (Secret.key_state).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "controlplane/certificates/certificate.h"
#include "controlplane/k8s/problem.h"
#include "controlplane/store/source.h"
#include "controlplane/store/store.h"

namespace millrace::certificates {

// Entries of one Ingress's spec.tls; those beyond are not looked at.
constexpr size_t tls_entries_max = 100;
// Hosts of all its entries together; those beyond are counted and not looked at.
constexpr size_t tls_hosts_max = 1'000;
// Hosts that one sentence names; the others are counted.
constexpr size_t hosts_told_max = 3;
// A certificate ends soon when this is left, or a quarter of its life if that is less.
constexpr int64_t ends_soon_s = int64_t{14} * 86'400;

// What is known outside of the objects while they are looked at.
struct View {
  // Whether an Ingress is ours; of others nothing is said and nothing is read.
  std::function<bool(const k8s::Object& object, const k8s::Ingress& ingress)> is_ours;
  // store::Source::why_unknown.
  std::function<std::optional<std::string>(const std::string& name_space, const std::string& name)>
      why_unknown;
  // Whether an Ingress may have a certificate, where a quota bounds that; null: all may.
  std::function<bool(const k8s::ObjectKey& ingress, const std::string& secret)> may_have;
  int64_t now_s = 0;  // Unix time
};

struct Expiry {
  std::string name_space;
  std::string secret;
  int64_t not_after_s = 0;
};

class TlsBook {
 public:
  // Without `reads_secrets` it is only said that TLS is not terminated.
  explicit TlsBook(bool reads_secrets) : reads_secrets_(reads_secrets) {}

  // Everything anew.
  void rebuild(const store::Store& objects, const View& view);
  // What happened since, what Secrets have become known, and what time has done. True when there
  // may be other problems than before.
  bool update(const store::Store& objects, const std::vector<store::Change>& changes,
              const View& view);

  const store::SecretNames& secrets() const { return secrets_; }
  // Another number whenever secrets() may have become others.
  uint64_t secrets_version() const { return secrets_version_; }
  std::vector<k8s::Problem> problems() const;  // by Ingress
  std::vector<Expiry> expiries() const;        // of certificates that can be read, by name
  // When time alone changes what there is to say, in Unix time.
  int64_t due_s() const { return due_s_; }

 private:
  using SecretName = std::pair<std::string, std::string>;
  struct Use {
    int index = 0;       // spec.tls[index]
    std::string secret;  // empty: the entry names none
    std::vector<std::string> hosts;
  };
  struct Entry {
    k8s::Place place;
    std::vector<Use> uses;
    size_t entries = 0;         // of spec.tls
    size_t hosts_taken = 0;     // over all uses
    size_t hosts_left_out = 0;  // beyond tls_hosts_max
    std::vector<k8s::Problem> problems;
  };

  // What is to be known of a Secret; it is long and has many users, so it is read once.
  struct KnownSecret {
    std::string type;
    k8s::Secret::KeyState key_state = k8s::Secret::KEY_UNCHECKED;
    bool key_in_certificate = false;
    std::optional<Result<Certificate>> certificate;  // nothing: it has no tls.crt
  };

  using Before = std::map<k8s::ObjectKey, std::vector<k8s::Problem>>;

  void walk(const store::Store& objects, const View& view);
  void concern(const k8s::ObjectKey& key, Before* before) const;
  void concern_users(const SecretName& secret, Before* before) const;
  void take_namespace(const std::string& name_space, const store::Store& objects, const View& view,
                      Before* before);
  const std::vector<k8s::Problem>& problems_of(const k8s::ObjectKey& key) const;
  void take(const k8s::ObjectKey& key, const store::Store& objects, const View& view);
  void add(const k8s::Object& object, const store::Store& objects, const View& view);
  void release(const k8s::ObjectKey& key, const Entry& before);
  void read_secret(const SecretName& name, const store::Store& objects);
  void judge(const k8s::ObjectKey& key, const View& view);
  void judge_use(const Use& use, const SecretName& name, const View& view,
                 const std::function<void(k8s::Reason, std::string)>& say);
  void judge_certificate(const Use& use, const Certificate& certificate, const View& view,
                         const std::function<void(k8s::Reason, std::string)>& say);
  void note_due(int64_t due_s, const View& view);

  const bool reads_secrets_;
  std::map<k8s::ObjectKey, Entry> entries_;  // Ingresses of ours with spec.tls
  std::map<SecretName, std::set<k8s::ObjectKey>> users_;
  store::SecretNames secrets_;               // the keys of users_
  std::map<SecretName, KnownSecret> known_;  // those of secrets_ that are there
  uint64_t secrets_version_ = 0;
  store::SecretNames unknown_;
  int64_t due_s_ = std::numeric_limits<int64_t>::max();
};

}  // namespace millrace::certificates
