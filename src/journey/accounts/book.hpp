// accounts/book.hpp: all accounts: what becomes of a mail that one of them hands in, what looks strange, what an operator decided.
//
// Order    an operator's word comes first: HOLD and REFUSE stand until they are ended, ALLOW lets everything through for a time. Then limits, then what was noticed.
// Strange  (Cause) what a stolen password looks like from here, each by itself enough:
//          rate      more recipients within the hour than `floor`, and than `times_usual` times the busiest hour of the days before. An account of less than
//                    three days with mail is not known yet: it is let grow as long as the book itself is younger than a week (everybody is new then).
//          networks  mail from at least six networks within an hour, five of them never seen with this account.
//          refused   of at least 50 recipients that were tried within the hour and whose mail came back at least a third of all that were tried.
//          It lasts until it has not looked so for a day; with watch=hold until an operator says something, since what looks quiet is what was held.
// Counted  what is taken or put on hold. What is put off or refused comes again, or never was.
// Bounds   most_accounts; those that have handed in nothing for longest go.
// Lines    for the log: one when something is noticed, one an hour when a limit is reached, one for each mail that is put on hold because of its account.
// Pure: time is told.
#pragma once

#include "accounts/account.hpp"
#include "accounts/limits.hpp"
#include "base/error.hpp"
#include "handoff/accounts.pb.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::accounts {

inline constexpr std::size_t most_accounts = 50'000;

enum class Cause : std::uint8_t { none, rate, networks, refused };
inline constexpr std::string_view cause_names[] = {"none", "rate", "networks", "refused"};

/// "bob@example.com" of "login:bob@example.com"; "uid:33" stays.
std::string account_text(std::string_view name);

struct Options {
    Watch watch = Watch::warn;
    std::uint32_t floor = 200;  // account_watch_recipients
};

struct Mail {
    std::string_view account, limits, client_address;  // of its envelope
    std::uint32_t recipients = 0;
};

struct Ruling {
    enum class What : std::uint8_t { take, hold, refuse };
    What what = What::take;
    std::string status, text;  // refuse: for the client. hold: text says why
    std::vector<std::string> warnings;
};

class Book {
public:
    explicit Book(WallTime now) : since_(now) {}
    Book(const handoff::StoredAccounts& stored, WallTime now);
    handoff::StoredAccounts stored() const;

    void configure(Options options) { options_ = options; }
    Ruling hand_in(const Mail& mail, WallTime now);
    /// What became of a recipient's mail, for good. A line for the log where that looks strange.
    std::optional<std::string> tried(std::string_view account, bool refused, WallTime now);

    /// An operator's word. Error (5.5.4): nothing is known of it that could end, or the word is wrong.
    Result<handoff::Account> order(const handoff::AccountOrder& order, WallTime now);
    /// As it is told, most recipients of the hour first; with `name` that one alone.
    std::vector<handoff::Account> tell(std::string_view name, WallTime now) const;

    struct Numbers {
        std::uint64_t known = 0, alarmed = 0, held = 0, refused = 0;  // accounts; held and refused by an operator's word
    };
    Numbers numbers() const;
    /// Since it began: by what was noticed; mails that were put on hold, put off or refused.
    struct Done {
        std::uint64_t alarms[4] = {}, held = 0, put_off = 0, refused = 0;
    };
    const Done& done() const { return done_; }
    /// Something is to be stored.
    bool changed() const { return changed_; }
    void is_stored() { changed_ = false; }
    void is_not_stored() { changed_ = true; }

private:
    struct Known {
        explicit Known(WallTime now) : account(now) {}
        explicit Known(const handoff::Account& stored);
        Account account;
        // What looked strange; `cause` none: nothing did.
        Cause cause = Cause::none;
        WallTime alarm_since{}, alarm_last{};
        std::string alarm;
        // An operator's word.
        handoff::Account::Word word = handoff::Account::NONE;
        WallTime word_since{}, word_until{};
        std::string word_by, word_reason;
        // Not kept.
        std::optional<Watch> watch;  // as its limits said last
        WallTime limit_told{};
    };
    Known& known(std::string_view name, WallTime now);
    static void store(const std::string& name, const Known& known, handoff::Account& into);
    Cause strange(const Account& account, WallTime now, std::string* text) const;
    std::optional<std::string> look(std::string_view name, Known& known, WallTime now);
    Ruling beyond(std::string_view name, Known& known, const Limits& limits, const Limit& limit, std::uint32_t size, WallTime now);

    Options options_;
    WallTime since_;
    std::map<std::string, Known, std::less<>> all_;
    Done done_;
    bool changed_ = false;
};

}  // namespace posthorn::accounts
