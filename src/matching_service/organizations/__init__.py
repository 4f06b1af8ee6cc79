"""Organizations: the enterprises that ask, and the institutions that suppliers belong to."""
