#include "tls/sessions.hpp"

#include <openssl/rand.h>

#include <cstring>
#include <stdexcept>

namespace posthorn::tls {

namespace {

constexpr std::size_t key_octets = 16 + 32 + 32;

void append(std::string& out, const TicketKey& key)
{
    out.append(reinterpret_cast<const char*>(key.name.data()), key.name.size());
    out.append(reinterpret_cast<const char*>(key.cipher.data()), key.cipher.size());
    out.append(reinterpret_cast<const char*>(key.mac.data()), key.mac.size());
}

TicketKey take(std::string_view octets)
{
    TicketKey key;
    std::memcpy(key.name.data(), octets.data(), 16);
    std::memcpy(key.cipher.data(), octets.data() + 16, 32);
    std::memcpy(key.mac.data(), octets.data() + 48, 32);
    return key;
}

}  // namespace

TicketKey TicketKey::random()
{
    TicketKey key;
    if (RAND_bytes(key.name.data(), 16) != 1 || RAND_priv_bytes(key.cipher.data(), 32) != 1 || RAND_priv_bytes(key.mac.data(), 32) != 1)
        throw std::runtime_error("TLS: no random octets");
    return key;
}

std::string TicketKeys::octets() const
{
    std::string out;
    append(out, current);
    if (previous)
        append(out, *previous);
    return out;
}

Result<TicketKeys> TicketKeys::from_octets(std::string_view octets)
{
    if (octets.size() != key_octets && octets.size() != 2 * key_octets)
        return Error{"TLS ticket keys of " + std::to_string(octets.size()) + " octets"};
    TicketKeys keys{take(octets), std::nullopt};
    if (octets.size() > key_octets)
        keys.previous = take(octets.substr(key_octets));
    return keys;
}

std::optional<std::string> MemorySessionStore::get(const std::string& key)
{
    const auto known = by_key_.find(key);
    if (known == by_key_.end())
        return std::nullopt;
    if (known->second->until <= clock_.steady()) {
        remove(key);
        return std::nullopt;
    }
    by_use_.splice(by_use_.begin(), by_use_, known->second);
    return known->second->session;
}

void MemorySessionStore::put(const std::string& key, std::string session)
{
    remove(key);
    by_use_.push_front({key, std::move(session), clock_.steady() + lifetime_});
    by_key_[key] = by_use_.begin();
    while (by_key_.size() > limit_) {
        by_key_.erase(by_use_.back().key);
        by_use_.pop_back();
    }
}

void MemorySessionStore::remove(const std::string& key)
{
    if (const auto known = by_key_.find(key); known != by_key_.end()) {
        by_use_.erase(known->second);
        by_key_.erase(known);
    }
}

}  // namespace posthorn::tls
