// Makes an interface's network card, and the switch before it, deliver the neighbor solicitations
// for our owned IPv6 addresses. The frames themselves are taken by the XDP program.
#pragma once

#include <string>
#include <vector>

#include "base/ipv6_address.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace millrace {

// Memberships last as long as this object: the kernel keeps them to sockets of ours, which end with
// the process however it ends.
class SolicitedNodeGroups {
 public:
  // The kernel joins the groups (RFC 4861 section 7.2.1) and answers multicast listener queries
  // about them, which a program that sees only our frames cannot. Where the interface has no IPv6
  // of the kernel's, the card's filter is opened alone and note() says so.
  static Result<SolicitedNodeGroups> join(const std::string& interface,
                                          const std::vector<Ipv6Address>& addresses);

  // One line for the log; empty when there is nothing to say.
  const std::string& note() const { return note_; }

 private:
  UniqueFd socket_;
  std::string note_;
};

}  // namespace millrace
