// sasl/cyrus.hpp: Cyrus SASL's library, for servers: whoever has set up smtpd.conf, sasldb or saslauthd goes on with them.      RFC 4422
// Opened   when it is asked for (base/module.hpp), with all of its plugins, before the process is confined. It keeps one state a process: open() is
//          for once. Sites share it; what a plugin reads as it is loaded (sql, ldapdb), it reads of the first.
// Blocks   plugins and saslauthd are waited for: begin() and respond() belong on helper threads. One Talk is for one thread at a time; different ones
//          may be under way at once.
// Says     what it complains of in Postfix's words: "SASL authentication failure: Password verification failed".
#pragma once

#include "sasl/cyrus_config.hpp"
#include "sasl/server.hpp"

#include <memory>
#include <string>
#include <vector>

namespace posthorn::sasl {

/// How one line of smtpd asks: its file of options, and what it calls itself.
struct CyrusSite {
    CyrusConfig config;
    std::string service = "smtp", host, realm;  // realm empty: the host's name
    /// Postfix's smtpd would have this folder for its root (empty: would not): where the files and sockets of options are there, they are meant.
    std::string root;
};

struct CyrusAnswer {
    Answer answer;
    std::vector<std::string> complaints;
};

class Cyrus {
public:
    static Result<std::unique_ptr<Cyrus>> open(std::vector<CyrusSite> sites);
    Cyrus(Cyrus&&) = delete;
    ~Cyrus();

    /// What the site's file allows, with what each mechanism protects against.
    Result<std::vector<Offer>> offers(std::size_t site) const;

    /// A client's AUTH, which ends with an answer that is not `more`.
    class Talk {
    public:
        Talk(Talk&&) = delete;
        ~Talk();
        CyrusAnswer begin(const Question& question);
        CyrusAnswer respond(const std::string& response);

    private:
        friend class Cyrus;
        struct Core;
        explicit Talk(std::unique_ptr<Core> core);
        std::unique_ptr<Core> core_;
    };
    std::unique_ptr<Talk> talk(std::size_t site) const;

private:
    struct Core;
    explicit Cyrus(std::unique_ptr<Core> core);
    std::unique_ptr<Core> core_;
};

}  // namespace posthorn::sasl
