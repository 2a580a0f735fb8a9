// tls/sessions.hpp: resumption across processes.
// Server   tickets (RFC 5077, RFC 8446 4.6.1) sealed with keys that come from outside: the memory process makes and rotates them, every
//          smtpd uses the same. A ticket of the previous keys is still opened, and renewed.
// Client   sessions kept in a store the caller brings, by a key that names peer and settings.
#pragma once

#include "base/clock.hpp"
#include "base/error.hpp"

#include <array>
#include <cstdint>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace posthorn::tls {

struct TicketKey {
    std::array<std::uint8_t, 16> name{};
    std::array<std::uint8_t, 32> cipher{}, mac{};

    static TicketKey random();
    bool operator==(const TicketKey&) const = default;
};

struct TicketKeys {
    TicketKey current;
    std::optional<TicketKey> previous;

    static TicketKeys random() { return {TicketKey::random(), std::nullopt}; }
    /// Fresh current keys; the old ones open for one more period.
    TicketKeys rotated() const { return {TicketKey::random(), current}; }
    /// 80 or 160 octets, for a frame between processes. Secret.
    std::string octets() const;
    static Result<TicketKeys> from_octets(std::string_view octets);
};

class SessionStore {
public:
    virtual ~SessionStore() = default;
    virtual std::optional<std::string> get(const std::string& key) = 0;
    /// `session` is secret (it opens a connection's traffic): not for files that others read.
    virtual void put(const std::string& key, std::string session) = 0;
    virtual void remove(const std::string& key) = 0;
};

/// In this process; the least recently used go.
class MemorySessionStore final : public SessionStore {
public:
    MemorySessionStore(const Clock& clock, std::size_t limit = 4096, std::chrono::seconds lifetime = std::chrono::seconds(3600))
        : clock_(clock), limit_(limit), lifetime_(lifetime)
    {
    }
    std::optional<std::string> get(const std::string& key) override;
    void put(const std::string& key, std::string session) override;
    void remove(const std::string& key) override;
    std::size_t size() const { return by_key_.size(); }

private:
    struct Entry {
        std::string key, session;
        SteadyTime until;
    };
    const Clock& clock_;
    std::size_t limit_;
    std::chrono::seconds lifetime_;
    std::list<Entry> by_use_;
    std::map<std::string, std::list<Entry>::iterator, std::less<>> by_key_;
};

}  // namespace posthorn::tls
