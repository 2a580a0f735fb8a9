// dns/test_server.hpp: a DNS server for tests, UDP and TCP on one loopback port, with the zone as text.
// Zone     one record a line, names absolute with or without the final dot, ";" starts a comment:
//              dead.test.        300 MX 10 mail.dead.test.        (time to live 300 where none is written)
//              mail.dead.test.   A 127.0.0.1
//              *.wild.test.      A 127.0.0.2
//              null.test.        MX 0 .
//              a.test.           TXT "v=spf1 -all" "more"
//              _25._tcp.a.test.  TLSA 3 1 1 00ff
//              . DNSKEY 257 3 15 BASE64                  and RRSIG lines, made elsewhere: sent to those who ask for DNSSEC
//          and how it behaves: "@servfail NAME", "@refuse NAME", "@drop NAME", "@delay MILLISECONDS NAME", "@truncate NAME" (UDP answers
//          are cut, so that the question comes again by TCP). NAME means it and everything below.
// Answers  authoritative for everything: what is not in the zone does not exist; a name with records or names below exists.
//          CNAMEs are followed. Questions are counted, for tests of caches and single flight.
#pragma once

#include "async/async.hpp"
#include "base/error.hpp"
#include "dns/record.hpp"
#include "net/address.hpp"

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::dns {

/// The zone, and what it answers: no sockets.
class TestZone {
public:
    /// Errors name the line.
    static Result<TestZone> parse(std::string_view text);

    struct Reply {
        std::string message;                                          // empty: none is sent
        std::chrono::milliseconds delay{0};
    };
    Reply answer(std::string_view question, bool tcp) const;

private:
    struct Data {
        Type type;
        std::uint32_t ttl;
        std::string rdata;
        std::string target;
    };
    enum class Manner { normal, servfail, refuse, drop, truncate };
    struct Behaviour {
        std::string name;
        Manner manner = Manner::normal;
        std::chrono::milliseconds delay{0};
    };

    Result<void> add_line(std::string_view line);
    const std::vector<Data>* at(const std::string& name) const;
    bool exists(const std::string& name) const;
    Behaviour behaviour(const std::string& name) const;

    std::map<std::string, std::vector<Data>> names_;
    std::vector<Behaviour> behaviours_;
};

class TestServer {
public:
    /// Throws where the zone or the port is no good. Port 0: one that is free.
    TestServer(Executor executor, std::string_view zone, std::uint16_t port = 0);
    TestServer(TestServer&&) = delete;
    /// close() first.
    ~TestServer();

    net::Endpoint endpoint() const;
    /// Another zone from the next question on.
    void replace(std::string_view zone);
    /// Questions so far, all or of one name and type.
    int questions() const;
    int questions(std::string_view name, Type type) const;
    awaitable<void> close();

private:
    struct Core;
    std::unique_ptr<Core> core_;
};

}  // namespace posthorn::dns
