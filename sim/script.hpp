// sim/script.hpp: the language of the peers' scripts.
// Head      product TEXT        which product it stands for
//           expect TEXT         what a correct client gets from it
//           host NAME           $host in what it says
//           reads line          every line, in order (the default)
//           reads segment       the first line of each segment; the rest is lost
//           reads group         all lines of a segment together (with `forgets`)
//           forgets before VERB a group of more than one line that ends in VERB: only that last line is obeyed
//           tls on connect      a TLS handshake before the greeting
//           tls with greeting   the same, and the lines said first travel with its first flight (TLS 1.3)
//           like NAME           another peer's steps where there are none here, and its blocks behind those here
// Steps     S TEXT              says a line (kept until the peer waits for input, as a well-behaved server does)
//           s TEXT              says octets without CRLF; \r \n \t \\ \0 and \xHH are escapes in both
//           C PATTERN           waits for a line; it must match
//           > PATTERN           the same, and it must have come with the segment before
//           content [N]         reads message content up to the lone dot; keeps it. With N: only so many octets
//           chunk               reads the octets that the BDAT line announced; keeps them
//           flush | wait TIME   says what is kept; waits ("250ms", "2s")
//           drop                forgets all input read so far
//           unsay               forgets what is kept to be said
//           silence             never says anything again; reads until the client goes
//           starttls TEXT       says TEXT, then a TLS handshake; input is forgotten. 454 where the player has no TLS
//           state NAME          see [in NAME]
//           close | reset       ends the connection, what is kept is said before close
//           repeat N ... end
//           serve               from here the `on` blocks answer (also what follows the last step where blocks exist)
// Blocks    on PATTERN [in STATE] [nth N] [from N] [grouped]
//           the first block that matches the line, in the order of the file, answers. nth, from: count matches per session.
//           grouped: only a line that came together with others (needs `reads group`).
// Patterns  no case; * any text, captured as $1 $2 ...; $0 the line; ? one character. A verb alone needs its end: "DATA" matches only DATA.
// Errors    name the script and the line.
#pragma once

#include "base/error.hpp"

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::sim {

enum class Op : std::uint8_t {
    say,
    say_octets,
    want,
    want_same_segment,
    content,
    chunk,
    flush,
    wait,
    drop,
    silence,
    starttls,
    state,
    close,
    reset,
    repeat,
    serve,
    unsay,
};

struct Action {
    Op op{};
    std::string text;                       // what is said, a pattern, a state
    std::uint64_t number = 0;               // octets, repetitions
    std::chrono::milliseconds pause{0};
    std::vector<Action> body;               // of repeat
    int line = 0;
};

struct Block {
    std::string pattern;
    std::string in_state;                   // empty: any
    std::uint32_t from = 1, to = UINT32_MAX;    // which of its matches
    bool grouped = false;
    std::vector<Action> actions;
    int line = 0;
};

enum class Reads : std::uint8_t { line, segment, group };

struct Script {
    std::string name, product, expect;
    std::string host = "peer.test";
    Reads reads = Reads::line;
    std::string forgets_before;             // a verb, or empty
    bool tls_on_connect = false;
    bool greets_in_tls = false;
    std::vector<Action> opening;
    std::vector<Block> blocks;

    static Result<Script> parse(std::string_view text, std::string_view name = "script");
};

/// Glob match without case; what each * took goes to `captures`.
bool matches(std::string_view pattern, std::string_view line, std::vector<std::string_view>* captures = nullptr);

}  // namespace posthorn::sim
