"""The lists of codes that a portal needs: with Chinese and English, and what each lies in."""
