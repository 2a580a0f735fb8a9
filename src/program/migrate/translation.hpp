// migrate/translation.hpp: what the configuration of another mail system becomes here; shown, and written.
// Shape    main.cf's settings, master.cf's lines and tables, each with the statements that it comes of; and for every statement of the
//          configuration a verdict: what it becomes, that nothing is needed for it, or that it is not carried over, why, and what to do by hand.
// Writes   a directory: main.cf, master.cf, tables; whole or not at all, and only what would start. Nothing where a statement must not be lost (`refusals`).
#pragma once

#include "base/error.hpp"
#include "migrate/survey.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace posthorn::migrate {

struct Place {
    std::string file;
    int line = 0;  // of the first physical line
    std::string text() const;  // "/etc/exim4/exim4.conf, line 12"
    friend auto operator<=>(const Place&, const Place&) = default;
};

struct Setting {
    std::string name, value;
    std::vector<std::string> because;  // comment lines, without "#"
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
    bool secret = false;  // for its owner alone
};

struct Verdict {
    enum class Kind { becomes, nothing_needed, left_out };
    Place place;
    std::string where;  // "main", "router smarthost", "acl acl_check_rcpt"
    std::string statement;  // "route_list = * smart.example"
    Kind kind = Kind::left_out;
    std::string text;
    bool loud = false;  // mail that was refused there is not refused here
};

struct Translation {
    std::vector<Setting> settings;
    std::vector<std::string> listeners;  // first columns of smtpd's lines: "smtp", "127.0.0.1:2525"; empty: "smtp" alone
    std::vector<std::string> wrapped;  // of those that begin with TLS
    std::string smtp_processes = "-";  // process-limit column of smtpd's lines
    std::vector<ServiceLines> services;
    std::vector<TableText> tables;
    std::vector<Verdict> verdicts;  // in the order of the configuration
    std::vector<std::string> refusals;  // why nothing is to be written
    const Setting* find(std::string_view name) const;
};

std::string_view to_text(Verdict::Kind kind);
/// Nothing is left out, nothing keeps it from being written.
bool all_carried(const Translation& translation);

/// Where it comes from, for who reads the report.
struct Origin {
    std::string system;  // "Exim": to be stopped before ours starts
    std::string option;  // "--exim"
    std::string source;  // the configuration's path
};

/// The texts of both files. `source`: the configuration's path. Pure.
std::string main_cf_text(const Translation& translation, const std::string& source);
std::string master_cf_text(const Translation& translation, const std::string& source);
/// A directory of it. The survey of what was written. Error: DIR exists, it would not start, or there are refusals.
Result<Survey> write_directory(const Translation& translation, const std::string& source, const std::string& to);

/// `written`: what was made of it, if anything was.
std::string as_text(const Translation& translation, const Origin& origin, const Survey* written);
/// One object: file, carried, statements, refusals, findings.
std::string as_json(const Translation& translation, const std::string& source, const Survey* written);

}  // namespace posthorn::migrate
