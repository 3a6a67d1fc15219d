"""Webhooks: programs elsewhere hear by HTTP that something has happened (Standard Webhooks 1.0). Ids and links only."""
