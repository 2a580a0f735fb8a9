// sim/engine.hpp: plays a script on a stream.
// Counts    turns: how often the peer wrote after the client had spoken (or at the start). What a client waits for, it pays here.
// Keeps     per session: transcript ("C: ", "S: "), contents, what went against the script, how it ended.
// Ends      by itself: a script that waits for input ends with the client; `silence` too. Idle input ends after `patience`.
// Ownership the Peer outlives its sessions; it is not for more than one thread.
#pragma once

#include "net/stream.hpp"
#include "sim/script.hpp"

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace posthorn::sim {

struct Session {
    std::vector<std::string> transcript;
    std::vector<std::string> contents;      // dot-unstuffed, as the message was meant
    std::vector<std::string> faults;        // lines that the script did not want
    std::vector<unsigned> turn_of_content;  // turns before each content was answered
    unsigned turns = 0;
    unsigned flights = 0;                   // reads that had to wait for the client
    unsigned handshakes = 0;
    std::string ended;                      // "client closed", "closed", "reset", "timeout", "failed"
    bool over = false;

    /// Lines the client said, in order, without "C: ".
    std::vector<std::string> said() const;
};

/// A server's handshake; the greeting, where there is one, travels with its first flight.
using TlsAccept = std::function<awaitable<Result<std::unique_ptr<net::Stream>>>(std::unique_ptr<net::Stream>, std::string greeting)>;

struct Settings {
    /// What `starttls` and `tls on connect` do; without it they end the session.
    TlsAccept tls;
    std::chrono::milliseconds patience{30'000};
    /// Not 0: what is said leaves in pieces of a few octets or more, with moments between, by this seed.
    std::uint32_t pieces = 0;
    std::size_t content_limit = 256U << 20;
    /// Every transcript line, as it comes: "C: ", "S: ", "* ".
    std::function<void(const std::string&)> tell;
};

class Peer {
public:
    /// Throws std::runtime_error on a script with errors: scripts are part of the program.
    explicit Peer(std::string_view script, Settings settings = {});
    explicit Peer(Script script, Settings settings = {});

    /// Plays one session to its end.
    awaitable<void> play(std::unique_ptr<net::Stream> stream);

    const Script& script() const { return script_; }
    const std::deque<Session>& sessions() const { return sessions_; }
    /// All contents of all sessions.
    std::vector<std::string> contents() const;
    std::vector<std::string> faults() const;

private:
    Script script_;
    Settings settings_;
    std::deque<Session> sessions_;
};

}  // namespace posthorn::sim
