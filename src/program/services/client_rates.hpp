// services/client_rates.hpp: how many connections a client has, and what it does per time unit, over all smtpd processes.     anvil(8)
// Counting     a client's numbers begin anew when its time unit is over; the next event begins the next unit. Connections are counted as long
//              as they are open; those of an smtpd that is gone are closed with it.
// Statistics   the highest numbers since the last report, with who and when, as Postfix's anvil logs them.
// Memory       a client is forgotten a time unit after its last connection.
#pragma once

#include "base/clock.hpp"
#include "handoff/rates.pb.h"
#include "observe/log.hpp"

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace posthorn::services {

class ClientRates {
public:
    ClientRates(const Clock& clock, std::chrono::seconds unit, observe::Log log) : clock_(clock), unit_(unit), log_(std::move(log)) {}

    void set_unit(std::chrono::seconds unit) { unit_ = unit; }
    /// `owner`: the smtpd that tells.
    handoff::ClientCount heard(const void* owner, const handoff::ClientEvent& event);
    /// An smtpd is gone, and its connections with it.
    void gone(const void* owner);
    /// Logs the statistics and begins them anew; forgets who has not been seen for long.
    void report();
    std::size_t clients() const { return clients_.size(); }

private:
    enum Kind : std::size_t { connect, mail, rcpt, tls, auth, kinds };
    struct Client {
        SteadyTime begun{};
        std::uint32_t connections = 0;
        std::array<std::uint32_t, kinds> counts{};
    };
    struct Highest {
        std::uint32_t value = 0;
        std::string client;
        WallTime when{};
        void see(std::uint32_t now, std::string_view who, WallTime at)
        {
            if (now > value) {
                value = now;
                client = who;
                when = at;
            }
        }
    };
    void disconnect(const std::string& name, std::uint32_t count);
    void forget_old();

    const Clock& clock_;
    std::chrono::seconds unit_;
    observe::Log log_;
    std::map<std::string, Client, std::less<>> clients_;
    std::map<const void*, std::map<std::string, std::uint32_t>> open_;       // connections by smtpd
    std::array<Highest, kinds> rates_;
    Highest connections_, cache_;
    std::size_t sweep_at_ = 0;                                               // clients
};

}  // namespace posthorn::services
