// receive/places.hpp: how many sessions and transactions a process has, and who is sent away first.
// Sessions      at most idle_limit; beyond it the one that has been idle longest is dismissed, and where none is idle the newcomer.
// Transactions  at most transaction_limit (master.cf's process limit; 0: none) from MAIL to the end of content.
// Stress        from 80 % of either limit.
#pragma once

#include <cstddef>
#include <list>

namespace posthorn::receive {

/// A session as the waiting room sees it.
class Guest {
public:
    virtual ~Guest() = default;
    /// 421 and goodbye; the session leaves the idle list before this is called.
    virtual void dismiss() = 0;
};

class Places {
public:
    Places(std::size_t idle_limit, std::size_t transaction_limit) : idle_limit_(idle_limit), transaction_limit_(transaction_limit) {}
    Places(Places&&) = delete;

    /// False: no place, and nobody to send away. Else one session more; leave() is its end.
    bool enter()
    {
        if (sessions_ - leaving_ >= idle_limit_) {
            if (idle_.empty())
                return false;
            dismiss_longest();
        }
        ++sessions_;
        return true;
    }
    /// All that are idle now.
    void dismiss_all()
    {
        while (!idle_.empty())
            dismiss_longest();
    }
    void leave(bool dismissed)
    {
        --sessions_;
        if (dismissed)
            --leaving_;
    }

    /// Held while a session waits for its client without a transaction.
    class Idle {
    public:
        Idle(Places& places, Guest& guest) : places_(places), at_(places.idle_.insert(places.idle_.end(), &guest)) {}
        Idle(Idle&&) = delete;
        /// `dismissed`: Places has taken it out already.
        void end(bool dismissed)
        {
            if (!ended_ && !dismissed)
                places_.idle_.erase(at_);
            ended_ = true;
        }
        ~Idle() { end(false); }

    private:
        Places& places_;
        std::list<Guest*>::iterator at_;
        bool ended_ = false;
    };

    bool begin_transaction()
    {
        if (transaction_limit_ != 0 && transactions_ >= transaction_limit_)
            return false;
        ++transactions_;
        return true;
    }
    void end_transaction() { --transactions_; }

    bool stressed() const { return sessions_ * 5 >= idle_limit_ * 4 || (transaction_limit_ > 4 && transactions_ * 5 >= transaction_limit_ * 4); }
    std::size_t sessions() const { return sessions_; }
    std::size_t transactions() const { return transactions_; }
    std::size_t idle() const { return idle_.size(); }

private:
    void dismiss_longest()
    {
        Guest* longest = idle_.front();
        idle_.pop_front();
        ++leaving_;
        longest->dismiss();
    }

    std::size_t idle_limit_, transaction_limit_;
    std::size_t sessions_ = 0, transactions_ = 0, leaving_ = 0;
    std::list<Guest*> idle_;
};

}  // namespace posthorn::receive
