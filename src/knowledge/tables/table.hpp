// tables/table.hpp: one lookup table.                              postmap(1), DATABASE_README
// Shape    a key has at most one value. Keys and values are octets; a value is never empty in a map that Maps asks.
// Errors   a table that cannot be opened or read answers with an Error (status 4.3.0): try later. Never "not there".
// Time     find() never waits: it is for tables in memory or mapped (in_memory()). lookup() serves every table.
// Owns     Tables shares one Table per type:name and Flags. All of it lives on one event loop.
#pragma once

#include "async/async.hpp"
#include "base/clock.hpp"
#include "base/error.hpp"
#include "observe/log.hpp"
#include "tables/file.hpp"

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::tables {

/// The value; none: the key is not there; Error: not known, try later.
using Answer = Result<std::optional<std::string>>;

struct Flags {
    bool fold = true;             // keys of fixed-string tables compare without case
    bool substitute = true;       // $1 in results of pattern tables; off where the result is trusted and the key is the client's
    bool file_values = false;     // a value is the name of a file, its content in base64 the result (postmap -F)
    bool utf8 = true;             // smtputf8_enable: fold and match as UTF-8; a key that is not UTF-8 is not there
    auto operator<=>(const Flags&) const = default;
};

class Table {
public:
    explicit Table(std::string name) : name_(std::move(name)) {}
    Table(Table&&) = delete;
    virtual ~Table() = default;

    /// "texthash:/etc/postfix/virtual", as the configuration names it.
    const std::string& name() const { return name_; }
    /// regexp, pcre, cidr and the like decide over the whole key: pieces of an address are never looked up in them.
    virtual bool pattern() const { return false; }
    virtual bool in_memory() const { return true; }
    /// Without waiting; an Error where !in_memory().
    virtual Answer find(std::string_view key) = 0;
    virtual awaitable<Answer> lookup(std::string key) { co_return find(key); }
    /// Why the table cannot be used now: what find() would say for any key.
    virtual std::optional<Error> broken() { return std::nullopt; }
    /// All entries in order; an Error where the kind cannot tell. Nothing may be written meanwhile.
    virtual Result<void> visit(const std::function<void(std::string_view key, std::string_view value)>& each);
    /// The same as a list, for postmap -s.
    Result<std::vector<std::pair<std::string, std::string>>> entries();

private:
    std::string name_;
};

/// What a kind needs to open a table.
struct Site {
    observe::Log log;
    const Clock& clock;
    std::shared_ptr<FileOpener> opener;
    /// main.cf's value, expanded, of a parameter that it has: sources whose parameters stand there ("mysql:name", name_query).
    std::function<std::optional<std::string>(const std::string& name)> parameter = nullptr;
};

class Tables {
public:
    explicit Tables(observe::Log log, const Clock& clock, std::shared_ptr<FileOpener> opener = std::make_shared<DirectOpener>(),
                    std::function<std::optional<std::string>(const std::string& name)> parameter = nullptr);

    /// `spec` is "type:name", "proxy:type:name" (the same table: tables need no proxy here). Never null: one that
    /// cannot be opened answers with the reason and is tried again later. "unsupported dictionary type: x" is such a reason.
    std::shared_ptr<Table> open(std::string_view spec, Flags flags = {});

    using Factory = std::function<std::shared_ptr<Table>(std::string spec, std::string name, Flags, Tables&)>;
    /// A further kind, or another way to one: clients of servers, and tests.
    void add_kind(std::string type, Factory factory);
    void set_parameters(std::function<std::optional<std::string>(const std::string& name)> parameter) { site_.parameter = std::move(parameter); }
    /// After a reload: tables whose settings stand in a file of their own or in main.cf, and those that could not be opened, are opened anew when
    /// they are named next. Who has one keeps it, as it is.
    void forget_settings();

    const Site& site() const { return site_; }
    /// Where client libraries may block. The threads are started when the first question needs one.
    asio::thread_pool& helpers();

private:
    Site site_;
    std::map<std::string, Factory, std::less<>> kinds_;
    std::map<std::pair<std::string, Flags>, std::shared_ptr<Table>> open_;
    std::unique_ptr<asio::thread_pool> helpers_;  // ends before the tables that it asks
};

/// The built-in kinds, in alphabetical order (postconf -m).
std::vector<std::string_view> kinds();
/// The files that a table of this spec reads, those of the tables in it among them: what the master's broker may open.
std::vector<std::string> files_of(std::string_view spec);
/// The table of `spec` itself, or those it is composed of, without "proxy:".
std::vector<std::string> leaves_of(std::string_view spec);
/// Opens the libraries that a table of this spec needs, while the process may; what fails is told when the table is opened.
void open_libraries(std::string_view spec);
/// A table that answers every question with this Error.
std::shared_ptr<Table> broken_table(std::string spec, Error reason);
/// "key" as tables compare it: ASCII lower case, Unicode case folding for UTF-8.
std::string fold_key(std::string_view key, bool utf8);

}  // namespace posthorn::tables
