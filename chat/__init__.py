"""What people do: a noun a module, with the verbs that belong to it. All statements are here.

Verbs work in the transaction that db.session is in, and leave the commit to the route.
"""
