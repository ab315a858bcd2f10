#include "controlplane/certificates/tls_book.h"

#include <algorithm>
#include <ctime>
#include <utility>

namespace millrace::certificates {

namespace {

using k8s::Kind;
using k8s::Reason;
using k8s::Severity;

constexpr char tls_type[] = "kubernetes.io/tls";
constexpr char certificate_key[] = "tls.crt";

std::string date_of(int64_t seconds) {
  const auto time = static_cast<std::time_t>(seconds);
  std::tm broken_down{};
  char text[64];
  if (gmtime_r(&time, &broken_down) == nullptr) return "a year that has no name";
  const size_t length = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &broken_down);
  return {text, length};
}

// What is wrong with its key, as the end of a sentence; nothing when it is right.
std::optional<std::string> wrong_with_key(k8s::Secret::KeyState state) {
  switch (state) {
    case k8s::Secret::KEY_MISSING: return "has no tls.key";
    case k8s::Secret::KEY_UNREADABLE:
      return "has a tls.key that cannot be read: it is no private key in PEM of RSA, EC, Ed25519 "
             "or "
             "Ed448 and at most 64 KiB, or it needs a password";
    case k8s::Secret::KEY_OF_ANOTHER: return "has a tls.key that does not match its tls.crt";
    default: return std::nullopt;
  }
}

std::string names_of(const std::vector<std::string>& hosts) {
  std::string text;
  for (size_t i = 0; i < std::min(hosts.size(), hosts_told_max); ++i) {
    text += (i == 0 ? "" : ", ") + k8s::quote(hosts[i]);
  }
  if (hosts.size() <= hosts_told_max) return text;
  return text + " and " + std::to_string(hosts.size() - hosts_told_max) + " more";
}

std::string lower_case(std::string text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

}  // namespace

void TlsBook::rebuild(const store::Store& objects, const View& view) {
  known_.clear();
  walk(objects, view);
}

// Every Ingress anew; certificates that are there have been read.
void TlsBook::walk(const store::Store& objects, const View& view) {
  entries_.clear();
  users_.clear();
  secrets_.clear();
  ++secrets_version_;
  unknown_.clear();
  due_s_ = std::numeric_limits<int64_t>::max();
  for (auto at = objects.objects().lower_bound({Kind::ingress, "", ""});
       at != objects.objects().end() && at->first.kind == Kind::ingress; ++at) {
    take(at->first, objects, view);
  }
  std::erase_if(known_, [&](const auto& one) { return !secrets_.contains(one.first); });
  for (const auto& [key, entry] : entries_) judge(key, view);
}

bool TlsBook::update(const store::Store& objects, const std::vector<store::Change>& changes,
                     const View& view) {
  const bool concerns_all =
      view.now_s >= due_s_ || std::any_of(changes.begin(), changes.end(), [](const auto& change) {
        return change.key.kind == Kind::ingress_class;
      });
  if (concerns_all) {
    for (const store::Change& change : changes) {
      if (change.key.kind != Kind::secret) continue;
      known_.erase({change.key.name_space, change.key.name});
    }
    const std::vector<k8s::Problem> before = problems();
    walk(objects, view);
    return problems() != before;
  }
  Before before;  // of those that are to be judged anew
  for (const SecretName& name : unknown_) concern_users(name, &before);
  std::set<std::string> namespaces;  // whose quota may be shared out otherwise
  for (const store::Change& change : changes) {
    if (change.key.kind == Kind::ingress) {
      concern(change.key, &before);
      take(change.key, objects, view);
      namespaces.insert(change.key.name_space);
    } else if (change.key.kind == Kind::name_space) {
      namespaces.insert(change.key.name);
    } else if (change.key.kind == Kind::secret) {
      const SecretName name(change.key.name_space, change.key.name);
      read_secret(name, objects);
      concern_users(name, &before);
    }
  }
  if (view.may_have != nullptr) {
    for (const std::string& one : namespaces) take_namespace(one, objects, view, &before);
  }
  unknown_.clear();
  bool differs = false;
  for (const auto& [key, problems] : before) {
    judge(key, view);
    differs |= problems_of(key) != problems;
  }
  return differs;
}

void TlsBook::concern(const k8s::ObjectKey& key, Before* before) const {
  before->try_emplace(key, problems_of(key));
}

void TlsBook::concern_users(const SecretName& secret, Before* before) const {
  const auto users = users_.find(secret);
  if (users == users_.end()) return;
  for (const k8s::ObjectKey& key : users->second) concern(key, before);
}

// What one Ingress takes of a quota, others of its namespace do without.
void TlsBook::take_namespace(const std::string& name_space, const store::Store& objects,
                             const View& view, Before* before) {
  for (auto at = objects.objects().lower_bound({Kind::ingress, name_space, ""});
       at != objects.objects().end() && at->first.kind == Kind::ingress &&
       at->first.name_space == name_space;
       ++at) {
    concern(at->first, before);
    take(at->first, objects, view);
  }
}

// What an Ingress asks for now, instead of before.
void TlsBook::take(const k8s::ObjectKey& key, const store::Store& objects, const View& view) {
  Entry before;
  if (const auto at = entries_.find(key); at != entries_.end()) {
    before = std::move(at->second);
    entries_.erase(at);
  }
  if (const k8s::Object* object = objects.find(key)) add(*object, objects, view);
  release(key, before);
}

void TlsBook::add(const k8s::Object& object, const store::Store& objects, const View& view) {
  // Most have none.
  const auto spec = object.body.field(k8s::Ingress::kSpecFieldNumber);
  if (!spec || !k8s::find_field(*spec, k8s::IngressSpec::kTlsFieldNumber)) return;
  const auto ingress = object.body.as<k8s::Ingress>();
  const auto& tls = ingress.spec().tls();
  if (!view.is_ours(object, ingress)) return;
  const k8s::ObjectKey& key = object.key;
  Entry& entry = entries_[key];
  entry.place = object.place;
  entry.entries = static_cast<size_t>(tls.size());
  if (!reads_secrets_) return;
  for (int i = 0; i < std::min(tls.size(), static_cast<int>(tls_entries_max)); ++i) {
    if (view.may_have != nullptr && !view.may_have(key, tls[i].secret_name())) continue;
    Use& use = entry.uses.emplace_back(Use{i, tls[i].secret_name(), {}});
    const auto hosts = static_cast<size_t>(tls[i].hosts_size());
    const size_t taken = std::min(hosts, tls_hosts_max - entry.hosts_taken);
    entry.hosts_taken += taken;
    entry.hosts_left_out += hosts - taken;
    for (size_t at = 0; at < taken; ++at) {
      use.hosts.push_back(lower_case(tls[i].hosts(static_cast<int>(at))));
    }
    if (!k8s::is_dns_subdomain(use.secret)) continue;
    const SecretName name(key.name_space, use.secret);
    users_[name].insert(key);
    if (secrets_.insert(name).second) ++secrets_version_;
    if (!known_.contains(name)) read_secret(name, objects);
  }
}

// The Secrets that `before` named and that this Ingress names no more.
void TlsBook::release(const k8s::ObjectKey& key, const Entry& before) {
  std::set<std::string> still;
  if (const auto at = entries_.find(key); at != entries_.end()) {
    for (const Use& use : at->second.uses) still.insert(use.secret);
  }
  for (const Use& use : before.uses) {
    const auto users = users_.find({key.name_space, use.secret});
    if (users == users_.end() || still.contains(use.secret)) continue;
    users->second.erase(key);
    if (!users->second.empty()) continue;
    secrets_.erase(users->first);
    ++secrets_version_;
    known_.erase(users->first);
    users_.erase(users);
  }
}

void TlsBook::read_secret(const SecretName& name, const store::Store& objects) {
  known_.erase(name);
  const k8s::Object* object = objects.find({Kind::secret, name.first, name.second});
  if (object == nullptr || !users_.contains(name)) return;
  k8s::Secret secret;
  object->body.read_without_metadata(&secret);
  KnownSecret& known = known_[name];
  known.type = secret.type();
  known.key_state = secret.key_state();
  known.key_in_certificate = secret.key_in_certificate();
  const auto pem = secret.data().find(certificate_key);
  if (pem != secret.data().end()) known.certificate.emplace(read_certificate(pem->second));
}

const std::vector<k8s::Problem>& TlsBook::problems_of(const k8s::ObjectKey& key) const {
  static const std::vector<k8s::Problem> none;
  const auto at = entries_.find(key);
  return at == entries_.end() ? none : at->second.problems;
}

void TlsBook::judge(const k8s::ObjectKey& key, const View& view) {
  const auto at = entries_.find(key);
  if (at == entries_.end()) return;
  Entry& entry = at->second;
  k8s::ProblemList problems;
  const auto say = [&](Severity severity, Reason reason, std::string sentence) {
    problems.add({severity, entry.place, key.text(), std::move(sentence), reason});
  };
  say(Severity::note, Reason::tls_not_terminated,
      "spec.tls: TLS is not terminated here; its hosts are served in plain HTTP only");
  for (const Use& use : entry.uses) {
    const auto say_of_use = [&](Reason reason, const std::string& sentence) {
      const bool is_note = reason == Reason::certificate_expiring;
      say(is_note ? Severity::note : Severity::warning, reason,
          "spec.tls[" + std::to_string(use.index) + "].secretName: " + sentence);
    };
    judge_use(use, {key.name_space, use.secret}, view, say_of_use);
  }
  if (reads_secrets_ && entry.entries > tls_entries_max) {
    say(Severity::warning, Reason::certificate_invalid,
        "spec.tls has more than " + std::to_string(tls_entries_max) +
            " entries; the certificates of the others are not looked at");
  }
  if (entry.hosts_left_out > 0) {
    say(Severity::warning, Reason::certificate_invalid,
        "spec.tls has more than " + std::to_string(tls_hosts_max) + " hosts; the other " +
            std::to_string(entry.hosts_left_out) + " are not looked at");
  }
  entry.problems = problems.take();
}

void TlsBook::judge_use(const Use& use, const SecretName& name, const View& view,
                        const std::function<void(Reason, std::string)>& say) {
  if (use.secret.empty()) {
    return say(Reason::certificate_missing, "is missing, and there is no default certificate");
  }
  const std::string who = "Secret " + name.first + '/' + k8s::printable(use.secret);
  if (!k8s::is_dns_subdomain(use.secret)) {
    return say(Reason::certificate_missing, k8s::quote(use.secret) + " is no name of a Secret");
  }
  if (const auto why = view.why_unknown(name.first, name.second)) {
    unknown_.insert(name);
    if (why->empty()) return;
    return say(Reason::certificate_missing, who + " cannot be looked at: " + *why);
  }
  const auto at = known_.find(name);
  if (at == known_.end()) return say(Reason::certificate_missing, "there is no " + who);
  const KnownSecret& secret = at->second;
  if (secret.type != tls_type) {  // of which nothing has been kept
    return say(Reason::certificate_invalid,
               who + " is of type " + k8s::quote(secret.type) + ", not " + tls_type);
  }
  if (secret.key_in_certificate) {
    say(Reason::certificate_invalid,
        who + " has a private key in its tls.crt, which is what everybody is shown");
  }
  if (!secret.certificate) return say(Reason::certificate_invalid, who + " has no tls.crt");
  const Result<Certificate>& certificate = *secret.certificate;
  if (!certificate) {
    return say(Reason::certificate_invalid,
               who + " has a tls.crt that cannot be used: " + certificate.error());
  }
  if (const auto wrong = wrong_with_key(secret.key_state)) {
    say(Reason::certificate_invalid, who + ' ' + *wrong);
  }
  judge_certificate(use, *certificate, view, [&](Reason reason, const std::string& text) {
    say(reason, "the certificate of " + who + ' ' + text);
  });
}

void TlsBook::judge_certificate(const Use& use, const Certificate& certificate, const View& view,
                                const std::function<void(Reason, std::string)>& say) {
  const int64_t life_s = certificate.not_after_s - certificate.not_before_s;
  const int64_t soon_s = certificate.not_after_s - std::min(ends_soon_s, life_s / 4);
  for (const int64_t due_s : {certificate.not_before_s, soon_s, certificate.not_after_s}) {
    note_due(due_s, view);
  }
  if (view.now_s < certificate.not_before_s) {
    say(Reason::certificate_invalid, "is not valid before " + date_of(certificate.not_before_s));
  } else if (view.now_s >= certificate.not_after_s) {
    say(Reason::certificate_invalid, "ended at " + date_of(certificate.not_after_s));
  } else if (view.now_s >= soon_s) {
    say(Reason::certificate_expiring, "ends soon, at " + date_of(certificate.not_after_s));
  }
  std::vector<std::string> uncovered;
  for (const std::string& host : use.hosts) {
    if (!certificate.covers(host)) uncovered.push_back(host);
  }
  if (uncovered.empty()) return;
  say(Reason::certificate_invalid,
      (uncovered.size() == 1 ? "does not cover the host " : "does not cover the hosts ") +
          names_of(uncovered));
}

void TlsBook::note_due(int64_t due_s, const View& view) {
  if (due_s > view.now_s) due_s_ = std::min(due_s_, due_s);
}

std::vector<k8s::Problem> TlsBook::problems() const {
  std::vector<k8s::Problem> problems;
  for (const auto& [key, entry] : entries_) {
    problems.insert(problems.end(), entry.problems.begin(), entry.problems.end());
  }
  return problems;
}

std::vector<Expiry> TlsBook::expiries() const {
  std::vector<Expiry> expiries;
  for (const auto& [name, secret] : known_) {
    if (!secret.certificate || !*secret.certificate) continue;
    expiries.push_back({name.first, name.second, (*secret.certificate)->not_after_s});
  }
  return expiries;
}

}  // namespace millrace::certificates
