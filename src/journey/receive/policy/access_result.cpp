#include "receive/policy/access_result.hpp"

#include "base/strings.hpp"
#include "smtp/reply.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace posthorn::receive::policy {

namespace {

using Action = AccessResult::Action;

struct ActionWord {
    std::string_view text;
    Action action;
};

constexpr std::array action_words{
    ActionWord{"ok", Action::ok},
    ActionWord{"relay", Action::ok},
    ActionWord{"dunno", Action::dunno},
    ActionWord{"reject", Action::reject},
    ActionWord{"defer", Action::defer},
    ActionWord{"defer_if_permit", Action::defer_if_permit},
    ActionWord{"defer_if_reject", Action::defer_if_reject},
    ActionWord{"hangup", Action::hangup},
    ActionWord{"warn", Action::warn},
    ActionWord{"info", Action::info},
    ActionWord{"hold", Action::hold},
    ActionWord{"discard", Action::discard},
    ActionWord{"redirect", Action::redirect},
    ActionWord{"bcc", Action::bcc},
    ActionWord{"prepend", Action::prepend},
    ActionWord{"filter", Action::filter},
};

void take_status(AccessResult& result, std::string_view text)
{
    const std::string_view status = smtp::enhanced_code(text);
    result.status = status;
    result.text = trim(text.substr(status.size()));
}

}  // namespace

std::string status_about(std::string_view status, std::string_view title)
{
    if (status.size() < 5 || status.substr(1, 3) != ".1.")
        return std::string(status);
    const bool sender = title == "Sender address", recipient = title == "Recipient address";
    const std::string_view detail = status.substr(4);
    std::string_view fitting = "1.0";
    if (sender)
        fitting = detail == "2" || detail == "8" ? "1.8" : detail == "3" || detail == "7" ? "1.7" : "1.0";
    else if (recipient)
        fitting = detail == "7"                                                ? "1.3"
                  : detail == "8"                                              ? "1.2"
                  : detail.size() == 1 && detail[0] >= '1' && detail[0] <= '6' ? status.substr(2)
                                                                               : "1.0";
    else
        fitting = "0.0";                          // no address at all
    return fmt::format("{}.{}", status[0], fitting);
}

AccessResult parse_access_result(std::string_view value)
{
    AccessResult result;
    const std::string_view all = trim(value);
    const std::size_t end = std::min(all.find_first_of(" \t"), all.size());
    const std::string_view first = all.substr(0, end);
    const std::string_view rest = trim(all.substr(end));

    if (!first.empty() && std::ranges::all_of(first, is_digit)) {
        if (!rest.empty() && first.size() == 3 && (first[0] == '4' || first[0] == '5')) {
            result.action = Action::code;
            result.code = (first[0] - '0') * 100 + (first[1] - '0') * 10 + (first[2] - '0');
            take_status(result, rest);
            return result;
        }
        if (rest.empty()) {
            result.action = Action::ok;        // POP-before-SMTP tables hold a time
            return result;
        }
    }
    const auto word = std::ranges::find(action_words, to_lower(first), &ActionWord::text);
    if (word == action_words.end()) {
        result.action = Action::restrictions;
        result.text = all;
        return result;
    }
    result.action = word->action;
    if (result.action == Action::reject || result.action == Action::defer || result.action == Action::defer_if_permit ||
        result.action == Action::defer_if_reject)
        take_status(result, rest);
    else
        result.text = rest;
    return result;
}

}  // namespace posthorn::receive::policy
