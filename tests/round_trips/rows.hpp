// round_trips/rows.hpp: what is counted: rows of one table, each a peer, what is handed to the agent, and the floor.
// Floor     round trips from the SYN (fresh) or from the request (warm) to knowing the result: one for the TCP handshake, one for the
//           greeting, one for each group whose answers are needed, TLS 1.3 one, TLS 1.2 two (resumed one). No client can do with less.
//           PIPECONNECT takes the greeting's away, and that of EHLO: they come with the answers to the first envelope.
// Counted   by the peer: how often it spoke after it had been spoken to; and the connection and the handshakes it saw.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace posthorn::round_trips {

enum class Tls : std::uint8_t { none, starttls, wrapper, wrapper_with_greeting };
enum class Work : std::uint8_t { mail, probe };

struct Row {
    std::string section, what;
    std::string floor_text;                 // "6 + n", or the number
    unsigned floor = 0;                     // for `recipients`
    Work work = Work::mail;
    unsigned recipients = 1;
    unsigned requests = 1;                  // handed over at once, for one session
    bool warm = false;                      // a session stands already
    bool parked = false;                    // and one probe came after another: the MAIL of the next one stands
    bool resumed = false;                   // a session before it left a TLS session
    bool tls_1_2 = false;
    bool pipelining = false, chunking = false;
    bool early = false;                     // the peer announces PIPECONNECT, and three sessions have seen it
    bool discards = false;                  // the rule file grants bdat-first
    Tls tls = Tls::none;
    std::string peer;                       // of sim/peers; empty: made of the fields above
    std::string remark;                     // why ours is above the floor
};

std::vector<Row> rows();
/// The peer's script.
std::string script_of(const Row& row);

}  // namespace posthorn::round_trips
