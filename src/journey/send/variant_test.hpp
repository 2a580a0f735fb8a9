// send/variant_test.hpp: another server with the same fault: the script of a peer of sim/ with all that no detector may depend on made anew by a seed.
// Changed  host, greeting, the words and enhanced codes of replies, lines per reply, order and case of keywords, keywords unknown to us, pauses,
//          the pieces replies come in (Settings::pieces), STARTTLS (every second seed).
// Kept     codes and what the script does with which command; words that carry the meaning come from `phrases` of the caller.
#pragma once

#include "base/strings.hpp"
#include "sim/script.hpp"

#include <algorithm>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace posthorn::send {

class Variant {
public:
    /// (what the script says, what it may say instead): the first part is looked for in its replies.
    using Phrases = std::vector<std::pair<std::string_view, std::vector<std::string_view>>>;

    Variant(sim::Script script, std::uint32_t seed, const Phrases& phrases) : random_(seed), script_(std::move(script)), phrases_(phrases)
    {
        old_host_ = std::exchange(script_.host, word() + "." + word() + ".test");
        tls_ = seed % 2 != 0;
    }

    sim::Script made()
    {
        greet(script_.opening);
        for (sim::Block& block : script_.blocks) {
            if (istarts_with(block.pattern, "EHLO") || istarts_with(block.pattern, "LHLO"))
                announce(block.actions);
            else
                reword(block.actions);
        }
        if (tls_ && offered_) {
            sim::Block block;
            block.pattern = "STARTTLS";
            block.actions = {action(sim::Op::starttls, "220 " + words()), action(sim::Op::state, "start")};
            // Scripts that have their own answer to it keep that.
            if (std::ranges::none_of(script_.blocks,
                                     [](const sim::Block& own) { return sim::matches(own.pattern, "STARTTLS") && own.pattern != "*"; }))
                script_.blocks.insert(script_.blocks.begin(), block);
        }
        return std::move(script_);
    }

private:
    std::uint32_t below(std::uint32_t limit) { return static_cast<std::uint32_t>(random_() % limit); }
    bool chance(unsigned percent) { return below(100) < percent; }

    static sim::Action action(sim::Op op, std::string text)
    {
        sim::Action made;
        made.op = op;
        made.text = std::move(text);
        return made;
    }

    std::string word()
    {
        std::string made;
        for (std::uint32_t i = 0, size = 2 + below(4); i < size; ++i)
            made += {"bcdfghklmnprstvz"[below(16)], "aeiou"[below(5)]};
        return made;
    }
    std::string words()
    {
        std::string made = word();
        for (std::uint32_t i = 0, count = below(7); i < count; ++i)
            made += ' ' + word();
        return made;
    }

    void greet(std::vector<sim::Action>& actions)
    {
        bool first = true;
        for (sim::Action& step : actions) {
            if (step.op != sim::Op::say || !std::exchange(first, false))
                continue;
            const bool masked = step.text.find("***") != step.text.npos;
            std::string rest;
            if (masked)
                for (std::uint32_t i = 0, size = 20 + below(60); i < size; ++i)
                    rest += chance(90) ? '*' : "02"[below(2)];
            else
                rest = "$host " + std::string(chance(70) ? "ESMTP " : "") + words();
            step.text = step.text.substr(0, 4) + rest;
        }
    }

    /// 250-host, 250-KEYWORD ..., 250 KEYWORD: a single line is no list of keywords.
    void announce(std::vector<sim::Action>& actions)
    {
        std::vector<std::size_t> lines;
        for (std::size_t i = 0; i < actions.size(); ++i)
            if (actions[i].op == sim::Op::say && actions[i].text.starts_with("250") && (lines.empty() || lines.back() + 1 == i))
                lines.push_back(i);
        if (lines.size() < 2) {
            reword(actions);
            return;
        }
        offered_ = true;
        std::vector<std::string> keywords;
        bool has_tls = false;
        for (std::size_t i = 1; i < lines.size(); ++i) {
            std::string keyword = actions[lines[i]].text.substr(4);
            has_tls = has_tls || iequals(keyword, "STARTTLS");
            if (chance(30))
                keyword = to_lower(keyword);
            keywords.push_back(std::move(keyword));
        }
        for (std::uint32_t i = 0, count = below(4); i < count; ++i)
            keywords.push_back("X-" + word() + (chance(50) ? " " + words() : ""));
        if (tls_ && !has_tls)
            keywords.emplace_back("STARTTLS");
        std::shuffle(keywords.begin(), keywords.end(), random_);
        std::vector<sim::Action> made{action(sim::Op::say, "250-$host " + words())};
        for (std::size_t i = 0; i < keywords.size(); ++i)
            made.push_back(action(sim::Op::say, (i + 1 == keywords.size() ? "250 " : "250-") + keywords[i]));
        actions.erase(actions.begin() + static_cast<std::ptrdiff_t>(lines.front()), actions.begin() + static_cast<std::ptrdiff_t>(lines.back() + 1));
        actions.insert(actions.begin() + static_cast<std::ptrdiff_t>(lines.front()), made.begin(), made.end());
    }

    void reword(std::vector<sim::Action>& actions)
    {
        std::vector<sim::Action> made;
        for (sim::Action& step : actions) {
            if (step.op != sim::Op::say || step.text.size() < 4) {
                made.push_back(std::move(step));
                continue;
            }
            if (chance(15)) {
                made.push_back(action(sim::Op::wait, {}));
                made.back().pause = std::chrono::milliseconds(1 + below(1500));
            }
            std::string text = other(step.text);
            if (text[3] == ' ' && chance(25)) {
                std::string before = text;
                before[3] = '-';
                made.push_back(action(sim::Op::say, before));
            }
            made.push_back(action(sim::Op::say, std::move(text)));
        }
        actions = std::move(made);
    }

    std::string other(const std::string& said)
    {
        for (const auto& [part, instead] : phrases_)
            if (said.find(part) != said.npos)
                return std::string(instead[below(static_cast<std::uint32_t>(instead.size()))]);
        std::string made = said.substr(0, 4);
        // The enhanced code: kept in class and subject, or left out.
        if (said.size() > 9 && is_digit(said[4]) && said[5] == '.' && is_digit(said[6]) && said[7] == '.' && chance(70))
            made += fmt::format("{}.{}.{} ", said[4], said[6], below(6));
        return made + words();
    }

    std::mt19937 random_;
    sim::Script script_;
    const Phrases& phrases_;
    std::string old_host_;
    bool tls_ = false, offered_ = false;
};

}  // namespace posthorn::send
