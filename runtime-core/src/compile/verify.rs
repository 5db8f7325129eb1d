//! What every plan must be, whatever config.json says: the rules of the house, checked on the finished steps.
