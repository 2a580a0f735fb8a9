#include "send/plan.hpp"

namespace posthorn::send {

namespace {

using peers::Quirk;

class Planner {
public:
    Planner(Plan& steps, const Dialogue& dialogue, Offer offer, const peers::Known& known, const PlanOptions& options)
        : steps_(steps), dialogue_(dialogue), quirks_(known.quirks), limits_(known.limits), options_(options),
          one_by_one_(!offer.pipelining || known.quirks.has(Quirk::one_command_per_flight)),
          chunking_(offer.chunking && options.chunking && !known.quirks.has(Quirk::no_bdat)),
          bdat_first_(known.privileges.bdat_first && !options.content_held), rset_needed_(dialogue.open_transaction)
    {
    }

    void run()
    {
        std::uint32_t contents = dialogue_.mails_before;
        bool ends = dialogue_.end;
        for (std::size_t i = 0; i < dialogue_.mails.size(); ++i) {
            const Mail& mail = dialogue_.mails[i];
            if (mail.stage == Stage::done)
                continue;
            const bool fresh_mail = mail.stage == Stage::waiting;
            if (fresh_mail && (used_up(contents) || (rset_needed_ && quirks_.has(Quirk::no_rset)))) {
                ends = true;                    // what is left goes over another session
                break;
            }
            const bool last = i + 1 == dialogue_.mails.size();
            if (mail.apart)
                cut();
            apart_ = mail.apart;
            if (mail.probe)
                say_probe(static_cast<std::uint16_t>(i), mail);
            else
                say_mail(static_cast<std::uint16_t>(i), mail);
            contents += mail.probe ? 0 : 1;
            const bool by_bdat = !mail.probe && steps_.back().act == Act::bdat;
            if (last && dialogue_.end && options_.quit_in_group && !one_by_one_ && !apart_ && !by_bdat && !quirks_.has(Quirk::quit_alone)) {
                if (mail.probe && !quirks_.has(Quirk::no_rset))
                    say(Act::rset);
                say(Act::quit);
                cut();
                return;
            }
        }
        cut();
        apart_ = false;
        if (ends)
            say_goodbye();
    }

private:
    bool used_up(std::uint32_t contents) const
    {
        return (limits_.mails_per_session != 0 && contents >= limits_.mails_per_session) ||
               (quirks_.has(Quirk::close_after) && contents >= quirks_.close_after());
    }

    void say(Act act, std::uint16_t mail = 0, std::uint32_t recipient = 0)
    {
        steps_.push_back({act, false, mail, recipient});
        if ((one_by_one_ || apart_) && act != Act::content && act != Act::pause)
            cut();
    }
    void cut()
    {
        if (!steps_.empty())
            steps_.back().ends_flight = true;
    }

    void say_envelope_start(std::uint16_t index, std::uint32_t recipient)
    {
        if (rset_needed_)
            say(Act::rset, index);
        rset_needed_ = false;
        for (std::uint32_t number = dialogue_.mails[index].xforwarded; number < dialogue_.mails[index].xforwards; ++number)
            say(Act::xforward, index, number);
        say(Act::mail, index, recipient);
    }

    void say_recipients(std::uint16_t index, const Mail& mail)
    {
        const bool one_each = one_mail_each(mail, quirks_);
        bool sender_open = mail.sender_open;
        if (mail.stage == Stage::waiting) {
            say_envelope_start(index, one_each ? mail.asked : 0);
            sender_open = true;
        }
        for (std::uint32_t r = mail.asked; r < mail.recipients; ++r) {
            if (one_each && !sender_open) {
                if (r != mail.asked || dialogue_.open_transaction)
                    say(Act::rset, index);
                say(Act::mail, index, r);
            }
            say(Act::rcpt, index, r);
            sender_open = false;
        }
    }

    void say_probe(std::uint16_t index, const Mail& mail)
    {
        if (mail.stage != Stage::invited)
            say_recipients(index, mail);
        if (options_.probe_data && mail.stage != Stage::invited) {
            if (quirks_.has(Quirk::data_alone))
                cut();
            say(Act::data, index);
            cut();                              // the session is closed upon 354: nothing may follow
        }
        rset_needed_ = true;
    }

    void say_mail(std::uint16_t index, const Mail& mail)
    {
        if (mail.stage == Stage::waiting || mail.stage == Stage::addressing)
            say_recipients(index, mail);
        rset_needed_ = false;                   // its content closes the transaction
        const bool bdat =
            chunking_ && !mail.by_data && mail.stage != Stage::invited && !(quirks_.has(Quirk::no_bdat_over) && mail.octets > quirks_.bdat_over());
        if (bdat) {
            const bool answered = mail.stage == Stage::addressing && mail.asked == mail.recipients;
            const bool small = mail.octets <= options_.content_before_answers;
            if (!answered && bdat_first_ && !small && !one_by_one_)
                say(Act::header_chunk, index);
            if (!answered && !(bdat_first_ && small))
                cut();                          // every flight boundary answers all contents before it
            if (!steps_.empty() && steps_.back().ends_flight)
                unanswered_ = 0;
            say(Act::bdat, index);
            if (++unanswered_ >= options_.contents_in_flight) {
                cut();
                unanswered_ = 0;
            }
            return;
        }
        if (mail.stage != Stage::invited) {
            if (quirks_.has(Quirk::data_alone))
                cut();
            say(Act::data, index);
            cut();
        }
        say(Act::content, index);
        if (quirks_.has(Quirk::dot_alone))
            say(Act::pause, index);
        say(Act::dot, index);
    }

    void say_goodbye()
    {
        if (!one_by_one_ && !quirks_.has(Quirk::quit_alone) && !quirks_.has(Quirk::no_rset))
            say(Act::rset);
        say(Act::quit);
        cut();
    }

    Plan& steps_;
    const Dialogue& dialogue_;
    const peers::Quirks& quirks_;
    const peers::Limits& limits_;
    const PlanOptions& options_;
    bool one_by_one_, chunking_, bdat_first_, rset_needed_, apart_ = false;
    std::uint32_t unanswered_ = 0;
};

}  // namespace

void plan(Plan& plan, const Dialogue& dialogue, Offer offer, const peers::Known& known, const PlanOptions& options)
{
    plan.clear();
    Planner(plan, dialogue, offer, known, options).run();
}

Plan plan(const Dialogue& dialogue, Offer offer, const peers::Known& known, const PlanOptions& options)
{
    Plan steps;
    plan(steps, dialogue, offer, known, options);
    return steps;
}

std::span<const Step> first_flight(std::span<const Step> plan)
{
    for (std::size_t i = 0; i < plan.size(); ++i)
        if (plan[i].ends_flight)
            return plan.first(i + 1);
    return plan;
}

}  // namespace posthorn::send
