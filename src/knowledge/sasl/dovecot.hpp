// sasl/dovecot.hpp: an Authenticator by Dovecot's auth process.
// Connection  one for all exchanges of this process, made at the first need; an exchange has a number of its own, so that many are under way at
//             once and a refusal that Dovecot holds back for seconds holds up nobody else.
// Silent      a connection over which nothing at all was heard for exchange_patience, or that takes in nothing, is given up as lost.
// Lost        what is under way is answered `later`; the next need connects anew. What was offered before is offered meanwhile.
// Words       of failures are Postfix's: "Connection lost to authentication server".
// Ownership   exchanges keep what they need; who destroys the Authenticator ends its connection.
#pragma once

#include "net/stream.hpp"
#include "sasl/server.hpp"

#include <functional>

namespace posthorn::sasl {

class Dovecot final : public Authenticator {
public:
    using Connect = std::function<awaitable<Result<std::unique_ptr<net::Stream>>>()>;
    struct Settings {
        std::string service = "smtp";  // smtpd_sasl_service
        std::string path;  // as it is configured, for warnings
        std::chrono::milliseconds patience{10'000};  // to connect and be greeted
        std::chrono::milliseconds exchange_patience{60'000};  // for an answer: refusals of strangers may wait
    };
    Dovecot(Executor executor, Connect connect, Settings settings, std::function<void(std::string)> warn);
    Dovecot(Dovecot&&) = delete;
    ~Dovecot() override;

    awaitable<Result<std::vector<Offer>>> offers() override;
    std::unique_ptr<Exchange> exchange() override;

    struct Core;

private:
    std::shared_ptr<Core> core_;
};

}  // namespace posthorn::sasl
