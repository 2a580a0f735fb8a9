// exim/translate.hpp: what an Exim configuration becomes here. Pure but for what `Machine` answers.
// Shape    main.cf's settings, master.cf's lines and tables, each with the statements that it comes of; and for every statement of the
//          configuration a verdict: what it becomes, that nothing is needed for it, or that it is not carried over, why, and what to do by hand.
// Safe     what is written lets in no more than Exim did: an accept that cannot be said exactly is left out or narrower, a deny that cannot be
//          is `loud`, and for a require that cannot be nothing is to be written at all (`refusals`).
// Source   Exim's specification 4.96: 14 (main options), 15 to 30 (routers, transports), 31, 32, 33 to 41, 44 (ACLs); postconf(5), access(5).
#pragma once

#include "exim/configuration.hpp"
#include "exim/pattern_set.hpp"

#include <string>
#include <vector>

namespace posthorn::exim {

struct Setting {
    std::string name, value;
    std::vector<std::string> because;         // comment lines, without "#"
};

/// A line of master.cf of its own, with its options behind it.
struct ServiceLines {
    std::string text;
    std::vector<std::string> because;
};

/// A file beside main.cf: "$config_directory/NAME".
struct TableText {
    std::string name, type, content;
    std::string spec() const { return type + ":$config_directory/" + name; }
    bool secret = false;                      // for its owner alone
};

struct Verdict {
    enum class Kind { becomes, nothing_needed, left_out };
    Place place;
    std::string where;                        // "main", "router smarthost", "acl acl_check_rcpt"
    std::string statement;                    // "route_list = * smart.example"
    Kind kind = Kind::left_out;
    std::string text;
    bool loud = false;                        // mail that was refused there is not refused here
};

struct Translation {
    std::vector<Setting> settings;
    std::vector<std::string> listeners;       // first columns of smtpd's lines: "smtp", "127.0.0.1:2525"; empty: "smtp" alone
    std::vector<std::string> wrapped;         // of those that begin with TLS
    std::string smtp_processes = "-";         // process-limit column of smtpd's lines
    std::vector<ServiceLines> services;
    std::vector<TableText> tables;
    std::vector<Verdict> verdicts;            // in the order of the configuration
    std::vector<std::string> refusals;        // why nothing is to be written
    const Setting* find(std::string_view name) const;
};

Translation translate(const Configuration& configuration, const Machine& machine);
/// Statements of the configuration that no verdict speaks of, as "FILE, line N: name". There are none.
std::vector<std::string> unjudged(const Configuration& configuration, const Translation& translation);

std::string_view to_text(Verdict::Kind kind);

}  // namespace posthorn::exim
