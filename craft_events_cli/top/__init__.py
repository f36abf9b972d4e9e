"""The live console of `craft-events top`, on Textual; loaded by that command alone.

app       the application: its views, its keys, its themes
source    what the views ask of the library; nothing else here calls it but `actions`
polling   asks one view's questions in turn, at a pace that follows their cost, and keeps the last answers
view      what all views have: the line of tabs, the banner of an outage, the filter, the keys
overview  the backlog, handlers and workers        events  the log, live
event     one event                                trace   a chain of events as a tree
pending, dead   deliveries in groups               safe    text of the log, without control characters or markup
"""
