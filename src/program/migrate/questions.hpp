// migrate/questions.hpp: what both systems are asked.
// A file   one question a line: "RECIPIENT", or "CLIENT SENDER RECIPIENT" with CLIENT as "address" or "name[address]", "<>" the null sender. '#' begins
//          a comment. Error: "FILE, line N: ...".
// Built in from the configuration: every domain that is ours, every left-hand side of the tables that decide about addresses (capped for
//          each table), users that nobody has, addresses outside; as clients one of mynetworks and one from outside.
#pragma once

#include "base/error.hpp"
#include "migrate/survey.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace posthorn::migrate {

struct Client {
    std::string name = "[UNAVAILABLE]", address;  // as XCLIENT has them
    auto operator<=>(const Client&) const = default;
};
struct RcptQuestion {
    Client client;
    std::string sender, recipient;
    std::string helo = "client.example";
    bool esmtp = true;  // EHLO, else HELO
    std::string login = {};  // as whom the client has logged in; empty: it has not
    std::string service = {};  // the line of master.cf that is asked (sandbox.hpp)
};

struct Questions {
    std::vector<std::string> addresses;  // rewritten and resolved
    std::vector<RcptQuestion> rcpts;
    std::vector<std::string> capped;  // tables of which not all was asked
};

struct QuestionOptions {
    std::size_t table_cap = 50;
};

/// What the sandbox and an SMTP line can carry: no blanks outside of quotes, no control characters.
bool usable(std::string_view address);

Questions built_in_questions(const Survey& survey, QuestionOptions options);
/// `survey` gives the clients and senders of lines that name a recipient only.
Result<Questions> parse_questions(std::string_view text, std::string_view path, const Survey& survey);

}  // namespace posthorn::migrate
