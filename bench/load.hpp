// bench/load.hpp: what source and sink share.
// Mark      every message carries "X-Bench: RUN NUMBER HASH" (three hexadecimal numbers) and a body whose octets, as they travel
//           (dots stuffed), have that hash. The sink counts each mark: a lost, doubled or changed message is seen.
// Counters  in a file that both the program and who watches it map into memory: reading them costs the measured systems nothing.
#pragma once

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

namespace posthorn::bench {

[[noreturn]] inline void give_up(const std::string& what)
{
    std::fprintf(stderr, "%s\n", what.c_str());
    std::exit(1);
}

[[noreturn]] inline void give_up_errno(const std::string& what) { give_up(what + ": " + std::strerror(errno)); }

/// Four lanes of eight octets a step, which the processor works on side by side; what is fed before the last call is a multiple of 32.
class Hash {
public:
    Hash& feed(std::string_view octets)
    {
        for (; octets.size() >= 32; octets.remove_prefix(32))
            for (std::size_t lane = 0; lane < 4; ++lane)
                mix(lanes_[lane], octets.substr(8 * lane, 8));
        for (; !octets.empty(); octets.remove_prefix(std::min<std::size_t>(octets.size(), 8)))
            mix(lanes_[0], octets.substr(0, 8));
        return *this;
    }
    std::uint64_t value() const
    {
        std::uint64_t all = 0;
        for (const std::uint64_t lane : lanes_)
            all = (all ^ lane) * factor;
        return all;
    }

private:
    static constexpr std::uint64_t factor = 0x9E3779B97F4A7C15U;
    static void mix(std::uint64_t& lane, std::string_view octets)
    {
        std::uint64_t word = octets.size() < 8 ? octets.size() ^ 0x8000000000000000U : 0;
        if (octets.size() == 8)
            std::memcpy(&word, octets.data(), 8);
        else
            for (const char c : octets)
                word = word << 8 ^ static_cast<unsigned char>(c);
        lane = (lane ^ word) * factor;
        lane ^= lane >> 32;
    }
    std::uint64_t lanes_[4] = {0x2545F4914F6CDD1DU, 0x9FB21C651E98DF25U, 0xD6E8FEB86659FD93U, 0xA0761D6478BD642FU};
};

inline constexpr std::string_view mark_name = "X-Bench: ";
inline constexpr std::size_t most_messages = std::size_t{1} << 21;

/// Numbers of one sink, all since its start but for `run`, which whoever watches it sets.
struct SinkCounters {
    std::uint64_t run = 0;                        // marks of other runs are `strangers`
    std::uint64_t connections = 0, open = 0, most_open = 0;
    std::uint64_t messages = 0, recipients = 0, octets = 0;
    std::uint64_t turns = 0;                      // writes: what the other side waited for
    std::uint64_t changed = 0;                    // the body's hash is not the mark's, or there is no mark
    std::uint64_t strangers = 0;
    std::uint64_t seen_recipients = 0;            // of this run
    std::uint64_t reserved[5] = {};
    std::uint16_t seen[most_messages] = {};       // recipients that message NUMBER of this run was delivered for
};

template <class Counters>
Counters* shared(const std::string& path)
{
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0 || ::ftruncate(fd, sizeof(Counters)) != 0)
        give_up_errno(path);
    void* memory = ::mmap(nullptr, sizeof(Counters), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        give_up_errno(path);
    ::close(fd);
    return static_cast<Counters*>(memory);
}

template <class Number>
Number number(std::string_view text, const char* what, int base = 10)
{
    Number value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (error != std::errc{} || end != text.data() + text.size())
        give_up(std::string(what) + ": not a number: " + std::string(text));
    return value;
}

/// "127.0.0.1:25"
inline sockaddr_in address(std::string_view text)
{
    const auto colon = text.rfind(':');
    sockaddr_in made{};
    made.sin_family = AF_INET;
    if (colon == std::string_view::npos || ::inet_pton(AF_INET, std::string(text.substr(0, colon)).c_str(), &made.sin_addr) != 1)
        give_up("not ADDRESS:PORT: " + std::string(text));
    made.sin_port = htons(number<std::uint16_t>(text.substr(colon + 1), "port"));
    return made;
}

inline void no_delay(int fd)
{
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

}  // namespace posthorn::bench
